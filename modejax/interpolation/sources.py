"""Maps of ReLU networks from arrays W1, b1, W2, b2, ... of a file, with axes and biases inferred from their lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modejax.errors import InputError

__all__ = ["read_maps"]


def read_maps(
    arrays: Mapping[str, np.ndarray], features: int, source: str
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[str]]:
    """Return the maps of a chain.

    Args:
        arrays: W1, b1, W2, b2, ... by name; biases may be left out, and may have the shape (units,), (1, units) or
            (units, 1).
        features: inputs of the first map.
        source: for messages.

    Returns:
        Weights (in, out) and biases (out,), and notes on what was inferred.

    Raises:
        InputError: shapes do not fit one another, numbers are not finite, or the names are not numbered without a gap.

    Example:
        >>> maps, notes = read_maps({"W1": np.zeros((4, 3)), "b1": np.zeros((1, 4))}, 3, "doctest")
        >>> maps[0][0].shape, notes
        ((3, 4), ['W1 has the shape (out, in): its input has 3 features, and b1 has 4'])
    """
    maps: list[tuple[np.ndarray, np.ndarray]] = []
    notes: list[str] = []
    while f"W{len(maps) + 1}" in arrays:
        number = len(maps) + 1
        W = np.asarray(arrays[f"W{number}"], np.float64)
        given = arrays.get(f"b{number}")
        b = None if given is None else np.asarray(given, np.float64)
        into = features if not maps else maps[-1][0].shape[1]
        flat = b is None or b.size == max(b.shape, default=0)
        size = None if b is None else b.size
        if W.ndim == 2 and W.shape[0] != into and W.shape[1] == into and size in (None, W.shape[0]):
            told = f"its input has {into} features" + ("" if b is None else f", and b{number} has {size}")
            notes.append(f"W{number} has the shape (out, in): {told}")
            W = W.T
        elif W.ndim == 2 and W.shape[0] == W.shape[1] == into and notes:
            raise InputError(
                f"{source}: W{number} is square, and other maps have the shape (out, in); save all as (in, out)"
            )
        if W.ndim != 2 or W.shape[0] != into or not flat or size not in (None, W.shape[1]):
            raise InputError(
                f"{source}: W{number} has shape {W.shape} and b{number} {None if b is None else b.shape}; allowed: "
                f"({into}, units) and (units,)"
            )
        if not np.isfinite(W).all() or (b is not None and not np.isfinite(b).all()):
            raise InputError(f"{source}: W{number} or b{number} has numbers that are not finite; mend the weights")
        maps.append((W, np.zeros(W.shape[1]) if b is None else b.reshape(-1)))
    known = {f"{letter}{i + 1}" for i in range(len(maps)) for letter in "Wb"}
    rest = [name for name in arrays if name[:1] in "Wb" and name not in known]
    if rest:
        raise InputError(
            f"{source}: the maps are not numbered W1, W2, ... without a gap; it has {len(maps)} in order, and "
            f"{', '.join(sorted(rest)[:4])}"
        )
    return maps, notes
