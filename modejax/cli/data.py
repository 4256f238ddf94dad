"""`modejax data`: which data sets there are, what is in them, and how to get one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from modejax.cli.table import print_table

__all__ = ["DataCommand"]


@dataclasses.dataclass(frozen=True)
class ListCommand:
    """List the data sets by name, and whether each can be loaded now."""

    json: bool = False
    """Print JSON instead of text."""

    data_dir: Path | None = None
    """Folder of prepared data sets; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.data import list_datasets

        entries = list_datasets(self.data_dir)
        if self.json:
            print(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=2))
            return 0
        rows = [[each.name, "yes" if each.available else "no", each.where, each.description] for each in entries]
        print_table("data sets", ("name", "available", "where", "what"), rows)
        print("also: the path of an .npz with x_train, y_train, x_test and y_test")
        print("get one with: modejax data prepare NAME")
        return 0


@dataclasses.dataclass(frozen=True)
class PrepareCommand:
    """Download a data set, check it against its checksums and prepare it for reading."""

    name: tyro.conf.Positional[str]
    """mnist, fashion_mnist or cifar10."""
    data_dir: Path | None = None
    """Folder in which it is prepared; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.data import prepare

        folder, following = prepare(self.name, data_dir=self.data_dir), f"modejax sweep --dataset {self.name}"
        if self.json:
            print(json.dumps({"name": self.name, "folder": str(folder), "next": following}, indent=2))
            return 0
        print(f"prepared {folder}")
        print(f"next: {following}")
        return 0


@dataclasses.dataclass(frozen=True)
class InfoCommand:
    """Describe a data set: sizes, classes, range of values, source, content hash."""

    name: tyro.conf.Positional[str]
    """Name of a data set, or the path of an .npz."""
    data_dir: Path | None = None
    """Folder of prepared data sets; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.data import describe, load_dataset

        facts = describe(load_dataset(self.name, data_dir=self.data_dir))
        if self.json:
            print(json.dumps(facts, indent=2))
            return 0
        for name, value in facts.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{name.replace('_', ' '):<{max(map(len, facts)) + 2}}{text}")
        return 0


@dataclasses.dataclass(frozen=True)
class DataCommand:
    """List, describe and prepare data sets."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax data list",
        "modejax data info digits",
        "modejax data prepare mnist",
    )

    action: Annotated[
        Annotated[ListCommand, tyro.conf.subcommand("list")]
        | Annotated[PrepareCommand, tyro.conf.subcommand("prepare")]
        | Annotated[InfoCommand, tyro.conf.subcommand("info")],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> int:
        """Run the command and return its exit code."""
        return self.action.run()
