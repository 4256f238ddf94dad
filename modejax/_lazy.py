"""Names that are imported on first use, so that `import modejax` is fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["lazy"]


def lazy(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make the module functions that import on first use (PEP 562).

    Args:
        package: the `__name__` of the package.
        names: for each submodule the names that the package offers from it; an empty list offers the submodule itself.

    Returns:
        `__getattr__`, `__dir__` and `__all__` for the package.
    """
    home = {name: module for module, offered in names.items() for name in offered}
    modules = {module for module, offered in names.items() if not offered}
    public = sorted([*home, *modules])

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in home:
            value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__, lambda: public, public
