"""`modejax doctor`: whether an installation works, and which devices, data sets and caches it has."""

from __future__ import annotations

import dataclasses
import json
import shutil
import textwrap
from pathlib import Path
from typing import ClassVar

__all__ = ["DoctorCommand"]

_INDENT = 33


@dataclasses.dataclass(frozen=True)
class DoctorCommand:
    """Check versions, devices, whether jaxlib computes right, data sets and caches.

    The exit code is 1 if a problem was found that makes sweeps fail or give wrong numbers.
    """

    examples: ClassVar[tuple[str, ...]] = ("modejax doctor", "modejax doctor --json")

    data_dir: Path | None = None
    """Folder of prepared data sets; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code: 0, or 1 if there is a problem."""
        from modejax.cli.devices import use_devices

        use_devices()
        from modejax.doctor import examine

        found = list(examine(self.data_dir))
        problems = [each for each in found if each.state == "problem"]
        if self.json:
            print(json.dumps({"problems": len(problems), "found": [each._asdict() for each in found]}, indent=2))
            return 1 if problems else 0
        topic, columns = "", shutil.get_terminal_size().columns
        for each in found:
            if each.topic != topic:
                print(each.topic)
                topic = each.topic
            lines = textwrap.wrap(each.text, columns - _INDENT, break_long_words=False, break_on_hyphens=False)
            print(f"  {each.state:<9}{each.what:<22}" + ("\n" + " " * _INDENT).join(lines))
        print(f"{len(problems)} problems" if problems else "no problem found")
        return 1 if problems else 0
