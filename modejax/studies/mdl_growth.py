"""What the studies of the least number of modes share: fits or the reason why there are none, and cells of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modejax.errors import InputError
from modejax.modes import growth_fits

if TYPE_CHECKING:
    from modejax.modes.growth import GrowthFit
    from modejax.modes.least import LeastModes

__all__ = ["fits_or_reason", "least_cells"]


def fits_or_reason(found: LeastModes) -> tuple[list[GrowthFit], str]:
    """Return the fits of `modejax.modes.growth_fits`, or an empty list and why there are none.

    Example:
        >>> from modejax.modes.least import LeastModes
        >>> n = np.array([10.0, 20.0])
        >>> fits_or_reason(LeastModes("fixed", 97.0, n, n, n, n, None, None, None, 1))[1]
        'one seed says nothing about the errors of a fit; sweep with two seeds or more'
    """
    try:
        return growth_fits(found), ""
    except InputError as error:
        return [], str(error)


def least_cells(found: LeastModes) -> list[str]:
    """Write the least number of modes at each width, with its interval where there is one.

    Example:
        >>> from modejax.modes.least import LeastModes
        >>> n, value = np.array([10.0, 20.0]), np.array([5.0, np.inf])
        >>> least_cells(LeastModes("fixed", 97.0, n, value, value, n, value - 1, value + 1, None, 5))
        ['5.0 [4.0, 6.0]', 'not reached']
    """
    cells = []
    for i, value in enumerate(found.value):
        text = _number(value)
        if found.low is not None and found.high is not None and np.isfinite(value):
            text += f" [{found.low[i]:.1f}, {_number(found.high[i])}]"
        cells.append(text)
    return cells


def _number(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "not reached"
