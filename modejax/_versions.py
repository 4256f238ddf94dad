"""Versions of packages, also if modejax runs from a checkout without being installed."""

from __future__ import annotations

import importlib.metadata

__all__ = ["version", "versions"]


def version(package: str) -> str:
    """Return the version of a package, or `unknown` if it is not installed.

    Example:
        >>> version("no-such-package")
        'unknown'
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of several packages by name."""
    return {package: version(package) for package in packages}
