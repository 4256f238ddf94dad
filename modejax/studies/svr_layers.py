"""The table that `modejax svr --layers` writes."""

from __future__ import annotations

from pathlib import Path

from modejax._files import replaced
from modejax.svr import SVR
from modejax.svr.spectra import layer_spectra

__all__ = ["write_layer_spectra"]


def write_layer_spectra(result: SVR, folder: Path) -> list[str]:
    """Write `spectra.csv`, and return it as lines with its columns explained.

    Args:
        result: of `svr.svr`.
        folder: where.

    Returns:
        Lines to print.
    """
    table = layer_spectra(result.layers)
    with replaced(folder / "spectra.csv") as part:
        table.to_csv(part, index=False)
    lines = table.to_string(index=False, float_format=lambda value: f"{value:.4g}").splitlines()
    return [
        *lines,
        "energy_10: share of sum s^2 in the first 10; bulk_edge: largest s of a random matrix with this median; alpha: "
        "exponent of the tail of s^2 and p of its fit (small: no power law); spectra.csv has the table",
    ]
