"""Does the best learning rate carry over between widths? Mode, dense and spectral networks in several gauges.

A question of our own, beyond the papers. In the gauge `width_free` of each layer the prefactors are those of the
maximal-update parametrisation for Adam (Yang et al., "Tensor Programs V", arXiv 2203.03466): a step changes the output
of every map by an amount that does not depend on the width. All networks are trained in one program.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modejax.modes import best_rates
from modejax.studies.common import check_seeds, write_study
from modejax.studies.files import check_folder
from modejax.studies.mdl_runs import trained_run
from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.modes import BestRates
    from modejax.runs import Run
    from modejax.training import WidthCheck

__all__ = ["FREE", "KINDS", "Kind", "Measured", "run", "sweep", "verdict"]

FREE = 1.5
"""The factor over all widths below which the best rate counts as the same."""


class Kind(NamedTuple):
    """One layer in one gauge."""

    name: str
    layer: str
    options: tuple[str, ...]
    first_rate: float  # the smallest of the rates tried; each of the others is twice the one before
    schedule: str = "linear"
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)  # mode layers are cheap enough for more

    @property
    def layer_name(self) -> str:
        """The layer in words."""
        return self.name.partition(",")[0]

    @property
    def arm(self) -> str:
        """Its name in the run."""
        return self.name.replace(", ", "_").replace(" ", "_").replace("-", "_")


class Measured(NamedTuple):
    """What was measured of the networks of a kind after their last epoch; not a number where one diverged."""

    rates: np.ndarray  # (rates,)
    widths: np.ndarray  # (widths,)
    error: np.ndarray  # (seeds, widths, rates), share of wrong answers on held-out data
    loss: np.ndarray  # (seeds, widths, rates), on the test set


_WIDE = (32, 64, 128, 256, 512, 1024, 2048)

KINDS = (
    Kind("mode, plain", "mode", (), 0.002, widths=_WIDE),
    Kind("mode, scaled", "mode", ("gauge=scaled",), 0.004, widths=_WIDE),
    Kind("mode, width-free", "mode", ("gauge=width_free",), 0.016, widths=_WIDE),
    Kind("mode, plain, constant rate", "mode", (), 0.001, "constant", _WIDE),
    Kind("mode, scaled, constant rate", "mode", ("gauge=scaled",), 0.002, "constant", _WIDE),
    Kind("mode, width-free, constant rate", "mode", ("gauge=width_free",), 0.008, "constant", _WIDE),
    Kind("dense, plain", "dense", (), 0.0005),
    Kind("dense, width-free", "dense", ("gauge=width_free",), 0.1),
    Kind("two sets, plain", "spectral", ("use_bias=false",), 0.02),
    Kind("two sets, width-free", "spectral", ("use_bias=false", "gauge=width_free"), 0.02),
)
"""The layers and gauges of the study. The rate falls to 0 in a straight line, or is constant where the name says so."""

_RATES = 8
_STEPS = 20  # of the check of updates


def sweep(quick: bool, seeds: int) -> SweepConfig:
    """Return the sweep: all kinds as arms of one program.

    Args:
        quick: digits and widths 8 to 64 instead of MNIST and the widths of `KINDS`.
        seeds: networks of each width and rate.

    Returns:
        The config; the rates of an arm are 8 powers of 2 times its first one.

    Example:
        >>> len(sweep(True, 2).all_arms), sweep(True, 2).widths
        (10, (8, 16, 32, 64))
    """
    count, small = 5 if quick else _RATES, (8, 16, 32, 64)
    first = KINDS[0]

    def rates(kind: Kind) -> tuple[float, ...]:
        return tuple(kind.first_rate * (4 if quick else 2) ** k for k in range(count))

    def text(kind: Kind) -> str:
        parts = [
            f"layer={kind.layer} schedule={kind.schedule}",
            "widths=" + ",".join(map(str, small if quick else kind.widths)),
            *(["layer_options=" + ",".join(kind.options)] if kind.options else []),
        ]
        return " ".join([kind.arm, *parts, "learning_rates=" + ",".join(f"{rate:g}" for rate in rates(kind))])

    size: dict[str, Any] = (
        {"dataset": "digits", "widths": small, "epochs": 6, "modes": (5,), "batch_size": 50}
        if quick
        else {"dataset": "mnist", "widths": first.widths, "epochs": 1, "modes": (10,)}
    )
    return SweepConfig(
        name=first.arm,
        layer=first.layer,
        learning_rates=rates(first),
        arms=tuple(text(kind) for kind in KINDS[1:]),
        seeds=seeds,
        batches="per_seed",
        weight_decays=(0.0,),
        schedule="linear",
        validation=0.2,
        baseline="none",
        kept=(0,),
        **size,
    )


def verdict(found: BestRates) -> str:
    """Say whether the best rate is the same at all widths.

    Args:
        found: the best rates of a kind.

    Returns:
        A few words with the factor from the smallest width to the largest, by the line fitted to ln rate against ln
        width, and its interval.

    Example:
        >>> rates = 0.01 * 2.0 ** np.arange(7)
        >>> error = np.exp(0.1 * np.log(rates / 0.04) ** 2) * np.ones((2, 1))
        >>> verdict(best_rates(rates, np.array([8, 64]), error[None]))
        'carries over: times 1.00'
    """
    if found.at_end.any():
        widths = ", ".join(f"{n:g}" for n in found.widths[found.at_end])
        return f"not decided: at width {widths} the best rate is the first or last one tried"
    ratio = found.widths.max() / found.widths.min()
    text = f"{'carries over' if found.drift < FREE else 'moves'}: times {ratio**found.power:.2f}"
    if found.power_interval is not None:
        low, high = (ratio**power for power in found.power_interval)
        text += f" [{low:.2f}, {high:.2f}]"
        if found.drift >= FREE and low <= 1 <= high:
            text += ", not told from 1"
    return text


def _measured(trained: Run, kind: Kind) -> Measured:
    data = trained[kind.arm].isel(modes=0, weight_decay=0)
    good = data.status == 0

    def values(of: Any) -> np.ndarray:
        return of.isel(epoch=-1).where(good).transpose("seed", "width", "learning_rate").values

    rates, widths = data.learning_rate.values, data.width.values.astype(float)
    return Measured(rates, widths, values(1 - data.validation_accuracy), values(data.test_loss))


def _check(config: SweepConfig, kind: Kind, found: BestRates) -> WidthCheck:
    """Check the sizes of updates at the widths of the sweep, with the best rate of the middle width."""
    from modejax.data import load_dataset
    from modejax.sweep.arm import Arm
    from modejax.sweep.width_check import check_arm_widths

    arm = Arm(
        layer=kind.layer,
        layer_options=kind.options,
        widths=tuple(int(n) for n in found.widths),
        modes=config.modes if kind.layer == "mode" else None,
        learning_rates=(float(found.rate[len(found.rate) // 2]),),
    )
    data = load_dataset(config.dataset, data_dir=config.data_dir)
    return check_arm_widths(arm, data, steps=_STEPS, batch_size=config.batch_size)


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study.

    Args:
        out: the folder; made where it is missing. Trained networks are kept in its `runs`.
        quick: digits, widths 8 to 64 and 2 seeds instead of MNIST, 16 to 2048 and 5.
        seeds: networks of each width, rate and gauge.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: if the number of seeds is not allowed, the data is missing or the folder is a file.

    Example:
        >>> run("docs/studies/rate-transfer", quick=True, seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 1, got 0
    """
    from modejax.studies.rate_transfer_report import draw_checks, draw_rates, page, table

    count = check_seeds(seeds, 2 if quick else 5)
    folder = check_folder(out)
    config = sweep(quick, count)
    trained = trained_run(folder, "rate-transfer", config, report)
    measured = {kind: _measured(trained, kind) for kind in KINDS}
    found = {
        kind: {name: best_rates(each.rates, each.widths, getattr(each, name)) for name in ("error", "loss")}
        for kind, each in measured.items()
    }
    checks = {kind: _check(config, kind, found[kind]["error"]) for kind in KINDS if kind.schedule == "linear"}
    return write_study(
        folder,
        page=page(config, measured, found, checks),
        rows=table(measured, found),
        config=dataclasses.asdict(config) | {"quick": quick},
        figures={
            "best-rates": lambda: draw_rates(config, measured, found),
            "updates": lambda: draw_checks(checks),
        },
    )
