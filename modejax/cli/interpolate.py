"""`modejax interpolate`: how trained networks interpolate their training data, layer by layer: a table and figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from modejax.cli.printing import Printed

__all__ = ["InterpolateCommand"]


@dataclasses.dataclass(frozen=True)
class InterpolateCommand(Printed):
    """Report ranks, patterns, sparseness and fit of each hidden layer, for networks of a run or arrays in a file."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax interpolate runs/digits-mode-001",
        "modejax interpolate network.npz --points 200",
    )

    source: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            help="Run folder of a sweep, or FILE.npz with X, Y or y, and W1, b1, W2, b2, ... (W of shape (in, out); "
            "without weights only the data are reported)."
        ),
    ]
    out: Path | None = None
    """Folder of the table and the figures; by default a new one, runs/interpolate-NAME-001 and so on."""
    overwrite: bool = False
    """Replace an earlier output of this command in --out, once the new one is whole."""
    points: int = 500
    """Largest number of training points; further ones are left out."""
    tolerance: float = 1e-3
    """A layer counts as fitting if the share of the targets that it leaves unexplained is below this."""

    only: tuple[str, ...] = ()
    """Arrays of the file to use besides X, Y and y, as names or shell patterns."""
    exclude: tuple[str, ...] = ()
    """Arrays of the file to leave out, as names or shell patterns."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.studies.interp_report import report_source

        options = {"points": self.points, "tolerance": self.tolerance, "only": self.only, "exclude": self.exclude}
        lines = report_source(self.source, self.out, overwrite=self.overwrite, **options)  # pyright: ignore
        self.print_lines(lines)
        return 0
