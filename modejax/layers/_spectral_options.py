"""Checks of the options of a spectral layer against each other."""

from __future__ import annotations

import math

from modejax.errors import InputError, choices
from modejax.layers.spectral_start import SPECTRAL_STARTS, Distribution, parse_distribution

__all__ = ["check_gauge", "check_penalties", "distributions_of"]


def check_gauge(gauge: str, variant: str, eigenvectors: str, factors: str, *, own_phi: bool, start: str) -> None:
    """Refuse a gauge that is unknown, or that does not go with what is trained and how phi starts.

    Raises:
        InputError: if the gauge is one of these.
    """
    if gauge not in ("plain", "width_free"):
        raise InputError(f"unknown gauge {gauge!r} of a spectral layer; allowed: plain, width_free")
    if gauge == "plain":
        return
    if eigenvectors == "trained" or factors == "qr" or variant.endswith("_released"):
        raise InputError(
            f"the gauge width_free is one of eigenvalues over a frozen phi that it draws itself, got variant={variant} "
            f"with {eigenvectors} eigenvectors; allowed: frozen eigenvectors of input_only, single_set, "
            "single_set_unit, svd, two_set"
        )
    if own_phi or start == "first":
        raise InputError("the gauge width_free draws phi itself; leave phi and start=first out")


def distributions_of(
    variant: str, trained: tuple[str, ...], start: str, phi: str | None, lambda_in: str | None, lambda_out: str | None
) -> tuple[Distribution, Distribution, Distribution]:
    """Return the distributions of phi, lambda_in and lambda_out; sets that the variant fixes are constant 0."""
    if start not in SPECTRAL_STARTS:
        raise InputError(f"unknown start {start!r} of a spectral layer; allowed: {choices(SPECTRAL_STARTS)}")
    if start == "first" and (variant != "single_set_unit" or lambda_out is not None):
        raise InputError("the start 'first' is that of the variant single_set_unit with its own lambda_out")
    names = SPECTRAL_STARTS[start]
    block = parse_distribution(names.phi if phi is None else phi, what="phi", released=True)
    if (block.kind == "released") != variant.endswith("_released"):
        raise InputError(
            f"the variant {variant} does not take phi {block.kind!r} (start {start!r}): svd_released and "
            "two_set_released take phi 'released', all others another distribution"
        )
    if variant == "svd" and block.kind != "normal":
        raise InputError(f"the variant svd draws phi normal:STD, whose decomposition is known, got {block.kind}")
    sets = {"in": (lambda_in, names.lambda_in), "out": (lambda_out, names.lambda_out)}
    found = {}
    for side, (given, own) in sets.items():
        if side not in trained:
            if given is not None:
                raise InputError(f"lambda_{side} is fixed in the variant {variant}; leave its distribution out")
            found[side] = Distribution("constant", 0.0)
        else:
            found[side] = parse_distribution(own if given is None else given, what=f"lambda_{side}")
    if found["in"] == found["out"] and found["in"].kind == "constant":
        raise InputError(
            f"the start {start!r} makes both sets of the variant {variant} equal, so that W = 0; "
            "take another start or give lambda_in or lambda_out"
        )
    return block, found["in"], found["out"]


def check_penalties(penalties: dict[str, float], trained: tuple[str, ...], variant: str) -> None:
    """Refuse a penalty that is not a number of at least 0, or that acts on parameters that are not in `trained`.

    Raises:
        InputError: if there is such a penalty.
    """
    for name, value in penalties.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be a finite number of 0 or more, got {value!r}")
        side = name.partition("_")[2]
        if value and side not in trained:
            what = "phi" if side == "phi" else f"lambda_{side}"
            raise InputError(f"{name} penalises {what}, which is frozen in this {variant} layer; leave it out")
