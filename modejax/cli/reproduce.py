"""`modejax reproduce`: run the study behind a published figure."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from modejax.errors import InputError, choices
from modejax.studies import STUDIES, find_study

__all__ = ["ReproduceCommand"]


@dataclasses.dataclass(frozen=True)
class ReproduceCommand:
    """Run the study behind a published figure; write figures, a table of measured numbers and the settings."""

    examples: ClassVar[tuple[str, ...]] = ("modejax reproduce spectral-sparse --quick",)

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=f"Name of the study: {choices(STUDIES)}.")]
    quick: bool = False
    """Run only the parts that take less than two minutes on two cores."""
    out: Path | None = None
    """Folder of the results; by default a new one, runs/STUDY-001 and so on."""
    seeds: int | None = None
    """Number of seeds over which the study averages; by default that of the study."""
    overwrite: bool = False
    """Replace an earlier result of this study in --out, once the new one is whole; its trained networks are used."""
    resume: Path | None = None
    """Folder of an interrupted run of this study, to resume where it stopped."""
    json: bool = False
    """Print the folder and the paths as JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        find_study(self.study)
        if self.resume is not None and (self.out not in (None, self.resume) or self.overwrite):
            raise InputError(f"--resume {self.resume} goes on in its own folder; drop --out and --overwrite")
        if self.out is None and self.overwrite:
            raise InputError("--overwrite replaces an earlier result; name its folder with --out")
        from modejax.cli.devices import use_devices

        use_devices()
        from modejax.runs import new_folder
        from modejax.studies.runner import run_study

        folder = self.resume or self.out or new_folder("study", self.study)
        options = {"quick": self.quick, "seeds": self.seeds, "overwrite": self.overwrite}
        try:
            run_study(self.study, folder, resume=self.resume is not None, **options)
        except KeyboardInterrupt:
            same = " --quick" * self.quick + (f" --seeds {self.seeds}" if self.seeds is not None else "")
            print(f"stopped; go on with: modejax reproduce {self.study}{same} --resume {folder}", file=sys.stderr)
            return 130
        if self.json:
            paths = sorted(str(path) for path in Path(folder).rglob("[!.]*") if path.is_file())
            print(json.dumps({"study": self.study, "folder": str(folder), "paths": paths}, indent=2))
            return 0
        print(f"wrote {folder}/results.md, table.csv, config.json and figures/*.png")
        print(f"next: read {folder}/results.md, or see docs/studies/{self.study} for the numbers of the full study")
        return 0
