"""Read the section `Example:` of a docstring as the examples that it holds, so that they are shown as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_HEADER = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Examples(griffe.Extension):
    """Griffe knows the plural only; without this, outputs in brackets would be read as links."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section of one object (called by Griffe)."""
        if obj.docstring is not None:
            obj.docstring.value = _HEADER.sub(r"\1Examples:", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rename those of the package and its subpackages, which are no objects to Griffe (called by Griffe)."""
        self.on_object(obj=pkg)
        for module in pkg.modules.values():
            self.on_package(pkg=module)
