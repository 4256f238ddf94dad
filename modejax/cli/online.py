"""`modejax online`: theory and simulation of online learning of modes, for any grid."""

from __future__ import annotations

import dataclasses

from modejax.studies.online_config import OnlineConfig

__all__ = ["OnlineCommand"]


@dataclasses.dataclass(frozen=True)
class OnlineCommand(OnlineConfig):
    """Online learning of modes: solve the order-parameter equations and run SGD from the same start, in one program."""

    def run(self) -> int:
        """Run the command and return its exit code: 0 also when members diverged (the output counts them)."""
        from modejax.cli.devices import use_devices

        use_devices()
        from modejax.studies.online_grid import run_grid

        for line in run_grid(self):
            print(line)
        return 0
