"""`modejax reproduce`: run the study behind a published figure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from modejax.errors import choices
from modejax.studies import STUDIES, find_study

__all__ = ["ReproduceCommand"]


@dataclasses.dataclass(frozen=True)
class ReproduceCommand:
    """Run the study behind a published figure: pictures, a table of measured numbers and the settings, in a folder."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=f"Name of the study: {choices(STUDIES)}.")]
    quick: bool = False
    """Run the parts that take less than two minutes on two cores."""
    out: Path | None = None
    """Folder of the results; by default runs/STUDY."""
    seeds: int | None = None
    """Number of seeds over which the study averages; by default the study's own."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        study = find_study(self.study)
        from modejax.cli.devices import use_devices

        use_devices()
        folder = study(self.out or Path("runs") / self.study, quick=self.quick, seeds=self.seeds)
        print(f"wrote {folder}/results.md, table.csv, config.json and figures/*.png")
        print(f"next: read {folder}/results.md, or see docs/studies/{self.study} for the numbers of the full study")
        return 0
