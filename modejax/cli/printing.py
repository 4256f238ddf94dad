"""The output of commands that write a folder of tables and figures: text, JSON, or only the folder."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Printed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Printed:
    """The options of a command that select its output."""

    json: bool = False
    """Print tables and paths as JSON instead of text."""
    quiet: bool = False
    """Print the folder that was written and nothing else."""

    def print_lines(self, lines: Iterable[str]) -> None:
        """Print the lines of a report in the form that the options select.

        Args:
            lines: the lines; the one that names the written files is a `modejax.studies.files.Wrote`.
        """
        if not self.json and not self.quiet:
            for line in lines:
                print(line)
            return
        from modejax.studies.files import Wrote

        said = list(lines)
        folder = next((line.folder for line in said if isinstance(line, Wrote)), None)
        if self.quiet:
            # If nothing was written, the lines say why.
            print(said[-1] if folder is None else folder)
            return
        found = [] if folder is None else [path for path in folder.rglob("[!.]*") if path.is_file()]
        facts = {
            "folder": None if folder is None else str(folder),
            "tables": {path.name: _rows(path) for path in sorted(found) if path.suffix == ".csv"},
            "lines": said,
            "paths": [str(path) for path in sorted(found)],
        }
        print(json.dumps(facts, indent=2))


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> str | float | int | bool | None:
    """Return the value of a cell; a number that JSON cannot hold, such as NaN, stays text."""
    if text in ("", "True", "False"):
        return None if not text else text == "True"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else text
    return text
