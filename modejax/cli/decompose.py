"""`modejax decompose`: the kernels of a trained network as modes."""

from __future__ import annotations

import dataclasses

from modejax.studies.decompose_config import DecomposeConfig

__all__ = ["DecomposeCommand"]


@dataclasses.dataclass(frozen=True)
class DecomposeCommand(DecomposeConfig):
    """Write the kernels of a trained network as sums of modes, and measure what is left of its accuracy."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.studies.decompose_report import decompose_file

        for line in decompose_file(self):
            print(line)
        return 0
