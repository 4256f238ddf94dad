"""The page and the figures of the study of pretrained networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modejax.plots.svr import COLOURS, plot_near_kernel
from modejax.studies.common import markdown_table, over_seeds, pm
from modejax.svr import Description, derived, load_kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "page"]

Rows = Sequence[Mapping[str, Any]]


def _nets(rows: Rows, network: str, fold: str, turned: bool) -> list[Mapping[str, Any]]:
    return [
        row
        for row in rows
        if row["part"] == "network"
        and row["network"] == network
        and row["fold"] == fold
        and (row["seed"] >= 0) == turned
    ]


def page(rows: Rows, nets: Mapping[str, Description], count: int) -> list[str]:
    """Return the lines of the page."""
    lines = ["# Pretrained networks", ""]
    lines += [f"Turned: the same kernels with outputs turned at random, {over_seeds(count, of='draw')}.", ""]
    lines += ["## Leading edges, channel-Haar null, Bonferroni (0.05) over the pair", ""]
    head = [
        "network",
        "norms",
        "layers",
        "pairs",
        "leading edges that pass",
        "turned",
        "pairs of the longest path of them",
    ]
    head += ["turned", "longest path there is", "median c E00", "turned"]
    table, corner = [], []
    for network in nets:
        for fold in ("none", "full"):
            own, turned = _nets(rows, network, fold, False), _nets(rows, network, fold, True)
            if not own:
                continue
            (one,) = own
            table.append(
                [
                    network, "folded" if fold == "full" else _norms(nets[network]), one["layers"], one["pairs"],
                    one["passing"], _pm(turned, "passing"), one["path"], _pm(turned, "path"), one["longest"],
                    f"{one['median c E00']:.2f}", _pm(turned, "median c E00", 2),
                ]
            )  # fmt: skip
            corner.append(
                [
                    network, "folded" if fold == "full" else _norms(nets[network]), one["corners"],
                    f"{one['mass']:.3f}",
                    _pm(turned, "mass", 3), one["corners passing"], _pm(turned, "corners passing"),
                    one["corner entries"], _pm(turned, "corner entries"), one["dead"],
                ]
            )  # fmt: skip
    lines += [
        *markdown_table(head, table),
        "",
        "## Near-kernels: the last quarter of directions hardly written and read",
        "",
    ]
    head = ["network", "norms", "pairs", "mass (chance 0.25)", "turned", "pairs with significant entries", "turned"]
    head += ["significant entries", "turned", "dead channels on both sides"]
    lines += markdown_table(head, corner)
    return lines


def _norms(found: Description) -> str:
    return "not folded" if any(layer.norm for layer in found.layers) else "none in the file"


def _pm(rows: Rows, field: str, digits: int = 1) -> str:
    return pm([row[field] for row in rows], digits)


def draw(rows: Rows, nets: Mapping[str, Description]) -> dict[str, Callable[[], Figure]]:
    """Return the figures by name."""
    return {
        "leading": lambda: _leading(rows, nets),
        "summary": lambda: _summary(rows, nets),
        "near-kernel": lambda: _corner(rows, nets),
    }


def _figure(columns: int, lines: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    return figure, figure.subplots(lines, columns, squeeze=False).ravel()


def _leading(rows: Rows, nets: Mapping[str, Description]) -> Figure:
    columns = min(3, len(nets))
    lines = -(-len(nets) // columns)
    figure, axes = _figure(columns, lines, (5.0 * columns, 2.9 * lines))
    for ax in axes[len(nets) :]:
        ax.set_axis_off()
    for ax, network in zip(axes, nets, strict=False):
        for fold, colour in (("none", COLOURS[0]), ("full", COLOURS[1])):
            some = [r for r in rows if r["part"] == "pair" and r["network"] == network and r["fold"] == fold]
            if not some:
                continue
            x, y = [row["place"] for row in some], [max(row["c E00"], 1e-2) for row in some]
            good = [row["passes"] for row in some]
            ax.scatter(x, y, s=22, facecolors=[colour if each else "white" for each in good], edgecolors=colour,
                       lw=1, label="norms folded" if fold == "full" else "as stored", zorder=2)  # fmt: skip
        ax.axhline(1, color="0.4", ls=":", lw=1, label="mean by chance")
        ax.set_yscale("log")
        ax.set_title(network, fontsize=10)
        ax.set_xlabel("pair of layers, by depth")
        ax.set_ylabel("c E of leading neurons")
        ax.grid(True, color="0.9", lw=0.6)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9,
                  title="filled: passes Bonferroni over its pair (channel-Haar null)")  # fmt: skip
    return figure


def _summary(rows: Rows, nets: Mapping[str, Description]) -> Figure:
    figure, axes = _figure(3, 1, (15.0, 0.42 * len(nets) + 2.2))
    y = np.arange(len(nets))
    for ax, field, label in zip(
        axes,
        ("passing", "path", "mass"),
        ("share of leading edges that pass (%)", "longest path of leading edges that pass (pairs)", "near-kernel mass"),
        strict=True,
    ):
        for place, (fold, turned, name) in enumerate(
            (("none", False, "as stored"), ("full", False, "norms folded"), ("none", True, "turned at random"))
        ):
            some = [_nets(rows, network, fold, turned) for network in nets]
            scale = [100 / max(each[0]["pairs"], 1) if each and field == "passing" else 1.0 for each in some]
            means = [
                k * np.mean([row[field] for row in each]) if each else 0 for each, k in zip(some, scale, strict=True)
            ]
            bars = [
                k * np.std([row[field] for row in each]) if turned else 0 for each, k in zip(some, scale, strict=True)
            ]
            form = {"xerr": bars, "ecolor": "0.3"} if turned else {}
            ax.barh(y + 0.27 * (place - 1), means, 0.25, color=COLOURS[place], label=name, **form)
        if field == "mass":
            ax.axvline(0.25, color="0.3", ls=":", lw=1, label="by chance")
        ax.set_yticks(y, list(nets) if ax is axes[0] else [""] * len(nets))
        ax.invert_yaxis()
        ax.set_xlabel(label)
        ax.grid(True, axis="x", color="0.9", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    handles, names = axes[2].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _corner(rows: Rows, nets: Mapping[str, Description]) -> Figure:
    """Draw near-kernels: of each network the pair with the largest mass, of the three networks with the most."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["part"] != "pair" or not np.isfinite(row["mass"]) or row["fold"] != "none":
            continue
        if row["network"] not in best or row["mass"] > best[row["network"]]["mass"]:
            best[row["network"]] = row
    chosen = sorted(best.values(), key=lambda row: -row["mass"])[:3]
    figure, axes = _figure(max(len(chosen), 1), 1, (4.8 * max(len(chosen), 1), 4.6))
    for ax, row in zip(axes, chosen, strict=False):
        found = nets[row["network"]]
        index = {layer.name: i for i, layer in enumerate(found.layers)}
        writer, reader = (load_kernel(found, index[row[each]]) for each in ("writer", "reader"))
        H = derived.near_kernel(writer, reader).H
        plot_near_kernel(H, ax, tail=len(H) // 4)
        ax.set_title(
            f"{row['network']}\n{row['writer'][-22:]} to {row['reader'][-22:]}, mass {row['mass']:.2f}", fontsize=8
        )
    return figure
