"""`modejax show`: the table of a finished run, its figures and report made anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

__all__ = ["ShowCommand"]


@dataclasses.dataclass(frozen=True)
class ShowCommand:
    """Print the table of a run and draw its figures and report again from result.nc."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""
    json: bool = False
    """Print the table and the paths as JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.cli.sweep import print_result
        from modejax.sweep.result import load_result

        return print_result(load_result(self.folder), self.folder, as_json=self.json, seconds=None)
