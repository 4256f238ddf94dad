"""Edges between two layers and their p-values under the null that was asked for."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from modejax.errors import InputError
from modejax.svr.edges import effective_filters
from modejax.svr.null import (
    Null,
    benjamini_hochberg,
    beta_law_log_p,
    beta_log_p,
    bonferroni,
    channel_haar_log_p,
    chi2_log_p,
    gram_moments,
    quadratic_form_parameters,
)
from modejax.svr.rotation import rotation_log_p

__all__ = ["Correction", "Pair", "adjusted", "check_level"]

Correction = Literal["none", "bonferroni", "bh"]


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """Edges between two layers.

    Attributes:
        writer: index of the layer that writes.
        reader: index of the layer that reads.
        E: shape (n, m), rows the reader's neurons, columns the writer's; float64.
        c: channels between them.
        z: positions over which an edge sums.
        null: name of the law of its p-values; that of the whole network but for grouped readers.
        groups: of the writer, whose patterns lie in one group of channels each where it is above 1.
    """

    writer: int
    reader: int
    E: Float[np.ndarray, "n m"]
    c: int
    z: int
    null: Null
    U: Float[np.ndarray, "c x m"] = dataclasses.field(repr=False)
    V: Float[np.ndarray, "c z n"] = dataclasses.field(repr=False)
    groups: int = 1
    draws: int = dataclasses.field(default=200, repr=False)
    seed: int = dataclasses.field(default=0, repr=False)

    @property
    def effective_positions(self) -> float:
        """Positions that count: z, or fewer where the null takes the readers' smoothness as given."""
        if self.null in ("beta", "chi2") or self.U.shape[1] > 1:
            return self.z
        return float(1 / gram_moments(self.V)[1].mean())

    @functools.cached_property
    def log_p(self) -> Float[np.ndarray, "n m"]:
        """Natural logarithm of P(edge >= E) under the null, shape (n, m)."""
        x, z = self.U.shape[1], self.V.shape[1]
        if self.null == "chi2":
            return chi2_log_p(self.E, self.c, max(x, z) if min(x, z) == 1 else x)
        if self.null == "rotation":
            return rotation_log_p(self.E, self.U, self.V, draws=self.draws, seed=self.seed)
        if min(x, z) > 1:
            return self._both_sides()
        if self.null == "beta":
            return beta_log_p(self.E, self.c, max(x, z))
        if self.groups > 1:
            return self._in_groups()
        # What is random has no positions; what is given has them all.
        return channel_haar_log_p(self.E, self.V) if x == 1 else channel_haar_log_p(self.E.T, self.U).T

    def _both_sides(self) -> np.ndarray:
        """Return log p where both sides have positions: the form u' (V V' x I) u, matched by its moments."""
        given, random = (self.U, self.V) if self.null == "beta" else (self.V, self.U)
        trace, square = gram_moments(given)
        places = random.shape[1]
        a, b = quadratic_form_parameters(places * trace, places * square, self.c * places)
        a, b = (each[None, :] if self.null == "beta" else each[:, None] for each in (a, b))
        return beta_law_log_p(self.E, a, b)

    def _in_groups(self) -> np.ndarray:
        """Return log p for writers that are uniform on the channels of their own group."""
        log_p = np.zeros_like(self.E)
        size = self.c // self.groups
        energy = (self.U[:, 0] ** 2).reshape(self.groups, size, -1).sum(1)
        for group in range(self.groups):
            mine = energy.argmax(0) == group
            block = self.V[group * size : (group + 1) * size]
            trace, square = gram_moments(block)
            read = trace > 1e-12
            a, b = quadratic_form_parameters(trace[read], square[read], size)
            rows = np.ix_(read, mine)
            log_p[rows] = beta_law_log_p(self.E[rows], a[:, None], b[:, None])
        return log_p

    def significant(self, level: float, correction: Correction = "none") -> np.ndarray:
        """Return which edges pass a level, shape (n, m), with a correction over this pair.

        Raises:
            InputError: if the level or the correction is not allowed.
        """
        return adjusted(self.log_p, correction) <= math.log(check_level(level))

    def filters(
        self, readers: Sequence[int] | slice = slice(None), writers: Sequence[int] | slice = slice(None)
    ) -> Float[np.ndarray, "n z x m"]:
        """Return the effective filters of some neurons; the sum of their squares over positions is E."""
        return effective_filters(self.U[:, :, writers], self.V[:, :, readers])


def check_level(level: float) -> float:
    """Return a level in (0, 1] as a float.

    Raises:
        InputError: if it is another number, or none.

    Example:
        >>> check_level(1)
        1.0
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level <= 1:
        raise InputError(f"level={level!r}; allowed: a probability above 0 and at most 1")
    return float(level)


def adjusted(log_p: np.ndarray, correction: Correction) -> np.ndarray:
    """Return log p-values, of any shape, corrected for their number by one of the ways of `null`.

    Raises:
        InputError: if the correction is unknown.

    Example:
        >>> adjusted(np.log([0.01, 0.6]), "bonferroni").round(2).tolist()
        [-3.91, 0.0]
    """
    match correction:
        case "none":
            return log_p
        case "bonferroni":
            return bonferroni(log_p)
        case "bh":
            return benjamini_hochberg(log_p)
    raise InputError(f"unknown correction {correction!r}; allowed: none, bonferroni, bh")
