"""Page, table and figures of the study rate-transfer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.studies.common import markdown_table, over_seeds, percent
from modejax.studies.rate_transfer import FREE, Kind, verdict
from modejax.studies.spread import bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from modejax.modes import BestRates
    from modejax.studies.rate_transfer import Measured
    from modejax.sweep.config import SweepConfig
    from modejax.training import WidthCheck

__all__ = ["draw_checks", "draw_rates", "page", "table"]


def cost_of_transfer(measured: Measured) -> float:
    """Return what the smallest width's best rate costs the largest width, in points of held-out accuracy.

    The smallest mean error of the largest width is taken from that at the rate tried that is best at the smallest one.

    Example:
        >>> from modejax.studies.rate_transfer import Measured
        >>> error = np.array([[[0.1, 0.2], [0.3, 0.25]]])
        >>> cost_of_transfer(Measured(np.array([0.1, 0.2]), np.array([8.0, 16.0]), error, error))
        5.0
    """
    mean = np.where(np.isfinite(measured.error), measured.error, 1.0).mean(axis=0)
    return float(np.round(100 * (mean[-1, np.argmin(mean[0])] - mean[-1].min()), 6))


def page(
    config: SweepConfig,
    measured: Mapping[Kind, Measured],
    found: Mapping[Kind, Mapping[str, BestRates]],
    checks: Mapping[Kind, WidthCheck],
) -> list[str]:
    """Return the lines of the page."""
    widths = sorted({int(n) for each in measured.values() for n in each.widths})
    few = f"{config.seeds} seeds" + (", so that intervals are rough" if config.seeds < 5 else "")
    networks = sum(each.error.size for each in measured.values())
    lines = [
        "# Does the best learning rate carry over between widths?",
        "",
        f"{config.dataset}, two hidden ReLU layers of N, no biases, Adam, batches of {config.batch_size}, "
        f"{config.epochs} epoch(s), no decay, the rate falling to 0 in a straight line unless said otherwise; mode "
        f"networks with P = {(config.modes or (1,))[0]} modes in each map. {networks} networks in one program. "
        f"{few}, each with its own initial values and order of batches.",
        "",
        "The best rate of a width is the minimum of a parabola through ln error (held-out share of "
        f"{config.validation:g} of the training set) at the five rates around the best one tried; rates tried are a "
        "factor of 2 apart"
        + (" (4 in this quick form)" if config.dataset == "digits" else "")
        + ". The verdict gives the factor from the smallest width to the largest of a line fitted to ln rate against "
        f"ln N; intervals (95 %) come from resampled seeds. Within a factor of {FREE:g} the rate carries over.",
        "",
        *markdown_table(
            ["layer, gauge", *(f"N = {n}" for n in widths), "largest / smallest", "verdict"],
            [
                [
                    kind.name,
                    *(_rate_text(each["error"], n) for n in widths),
                    f"{each['error'].spread:.2f}",
                    verdict(each["error"]),
                ]
                for kind, each in found.items()
            ],
        ),
        "",
        "The same by the loss on the test set, and what it costs the largest width (points of held-out "
        "accuracy) to take the rate, of those tried, that is best at the smallest one:",
        "",
        *markdown_table(
            ["layer, gauge", "by test loss", "cost of the transfer", "accuracy at the largest width"],
            [
                [
                    kind.name,
                    verdict(each["loss"]),
                    f"{cost_of_transfer(measured[kind]):.1f}",
                    _accuracy_text(measured[kind]),
                ]
                for kind, each in found.items()
            ],
        ),
        "",
        f"Sizes of the updates of each map's output after {next(iter(checks.values())).steps} steps at the best rate "
        "of a middle width, as powers of N (`modejax check-widths`):",
        "",
        *markdown_table(
            ["layer, gauge", "rate", *next(iter(checks.values())).map_names, "verdict"],
            [
                [
                    kind.name,
                    f"{check.learning_rate:.3g}",
                    *(f"{a:.2f} +- {b:.2f}" for a, b in zip(*check.powers(), strict=True)),
                    check.verdict,
                ]
                for kind, check in checks.items()
            ],
        ),
        "",
        "`figures/best-rates.png` has the errors and best rates, `figures/updates.png` the updates, `table.csv` every "
        "network.",
    ]
    return lines


def _rate_text(found: BestRates, width: int) -> str:
    if width not in found.widths:
        return "-"
    index = int(np.flatnonzero(found.widths == width)[0])
    text = f"{found.rate[index]:.2g}"
    if found.low is not None and found.high is not None:
        text += f" [{found.low[index]:.2g}, {found.high[index]:.2g}]"
    return text + (" (end of the rates tried)" if found.at_end[index] else "")


def _accuracy_text(measured: Measured) -> str:
    mean = np.where(np.isfinite(measured.error), measured.error, 1.0)[:, -1]
    best = mean[:, np.argmin(mean.mean(axis=0))]
    return percent(1 - best)


def table(measured: Mapping[Kind, Measured], found: Mapping[Kind, Mapping[str, BestRates]]) -> list[dict[str, Any]]:
    """Return one row a network: error on held-out data and loss on the test set; empty where it diverged."""
    rows = []
    for kind, each in measured.items():
        for s, by_width in enumerate(each.error):
            for i, width in enumerate(each.widths):
                for k, rate in enumerate(each.rates):
                    rows.append(
                        {
                            "layer": kind.name,
                            "width": int(width),
                            "seed": s,
                            "learning_rate": float(rate),
                            "error": float(by_width[i, k]),
                            "test_loss": float(each.loss[s, i, k]),
                            "best_rate_of_width": float(found[kind]["error"].rate[i]),
                        }
                    )
    return rows


def draw_rates(
    config: SweepConfig, measured: Mapping[Kind, Measured], found: Mapping[Kind, Mapping[str, BestRates]]
) -> Figure:
    """Draw the held-out error against the rate, a line a width with its best rate marked; a panel each kind."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from modejax.plots.style import finish

    figure = Figure(figsize=(15, 10.5), layout="constrained")
    panels = figure.subplots(3, 4).ravel()
    for ax in panels[len(measured) :]:
        ax.set_visible(False)
    widths = sorted({float(n) for each in measured.values() for n in each.widths})
    colours = dict(zip(widths, colormaps["viridis"](np.linspace(0, 0.92, len(widths))), strict=True))
    for ax, (kind, each) in zip(panels, measured.items(), strict=False):
        error = 100 * np.where(np.isfinite(each.error), each.error, np.nan)
        for i, width in enumerate(each.widths):
            mean, (below, above) = bars(error[:, i].T)
            ax.plot(each.rates, mean, color=colours[float(width)], lw=1.4, label=f"N = {width:g}")
            ax.fill_between(
                each.rates,
                np.maximum(mean - below, mean / 2),
                mean + above,
                color=colours[float(width)],
                alpha=0.15,
                lw=0,
            )
            ax.axvline(found[kind]["error"].rate[i], ymax=0.06, color=colours[float(width)], lw=2)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("learning rate")
        ax.set_ylabel("held-out error (%)")
        ax.set_title(f"{kind.name}\n{verdict(found[kind]['error'])}", fontsize=8.5)
        finish(ax)
    named = dict(zip(*_legend(panels), strict=True))
    labels = [f"N = {n:g}" for n in widths]
    handles = [named[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        f"{config.dataset}, {config.epochs} epoch(s), {over_seeds(config.seeds)}; ticks at "
        "the foot: best rate of each width"
    )
    return figure


def _legend(panels: Any) -> tuple[list[str], list[Any]]:
    """Return labels and lines of all panels."""
    pairs = [pair for ax in panels for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    return [label for _, label in pairs], [line for line, _ in pairs]


def draw_checks(checks: Mapping[Kind, WidthCheck]) -> Figure:
    """Draw the updates of all kinds against the width."""
    from matplotlib.figure import Figure

    from modejax.plots.widths import plot_width_check

    figure = Figure(figsize=(15, 7.5), layout="constrained")
    panels = figure.subplots(2, 4).ravel()
    for ax, (kind, check) in zip(panels, checks.items(), strict=False):
        plot_width_check(check, ax=ax)
        ax.set_title(f"{kind.name}, rate {check.learning_rate:.2g}", fontsize=10)
    for ax in panels[len(checks) :]:
        ax.set_visible(False)
    figure.suptitle("How far the first steps move the output of each map; a flat line does not depend on the width")
    return figure
