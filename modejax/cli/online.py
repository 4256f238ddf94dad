"""`modejax online`: theory and simulation of online learning of modes, for any grid."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from modejax.cli.printing import Printed
from modejax.studies.online_config import OnlineConfig

__all__ = ["OnlineCommand"]


@dataclasses.dataclass(frozen=True)
class OnlineCommand(Printed, OnlineConfig):
    """Online learning of modes: solve the order-parameter equations and run SGD from the same start, in one program."""

    examples: ClassVar[tuple[str, ...]] = (
        "modejax online --units 2 --modes 2 --seeds 2",
        "modejax online --d 100 --modes 2 3 --eta 1 2 --last-time 50",
        "modejax online --teacher teacher.npz --eta 2",
    )

    def run(self) -> int:
        """Run the command and return its exit code: 0 also when members diverged (the output names them)."""
        from modejax.cli.devices import use_devices

        use_devices()
        from modejax.studies.online_grid import run_grid

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(OnlineConfig)}
        self.print_lines(run_grid(OnlineConfig(**fields)))
        return 0
