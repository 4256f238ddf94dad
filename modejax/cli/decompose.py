"""`modejax decompose`: the kernels of a trained network as modes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from modejax.cli.printing import Printed
from modejax.studies.decompose_config import DecomposeConfig

__all__ = ["DecomposeCommand"]


@dataclasses.dataclass(frozen=True)
class DecomposeCommand(Printed, DecomposeConfig):
    """Write the kernels of a trained network as sums of modes, and measure the accuracy that remains."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax decompose model.safetensors --modes 20",
        "modejax decompose mlp.npz --energy 0.9 --dataset mnist --epochs 1",
    )

    def run(self) -> int:
        """Run the command and return its exit code."""
        from modejax.studies.decompose_report import decompose_file

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(DecomposeConfig)}
        self.print_lines(decompose_file(DecomposeConfig(**fields)))
        return 0
