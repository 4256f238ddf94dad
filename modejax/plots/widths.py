"""How far the first steps move the outputs of each map, against the width."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modejax.errors import InputError
from modejax.plots.colours import Chosen, choose
from modejax.plots.style import finish, own_axes, set_number_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from modejax.training import WidthCheck

__all__ = ["plot_width_check", "save_width_check"]


def plot_width_check(
    check: WidthCheck,
    ax: Axes | None = None,
    *,
    what: str = "update",
    colours: Chosen = None,
    labels: Chosen = None,
) -> Axes:
    """Draw the size of each map's outputs, or of their change, against the width, after the first and the last step.

    Points are means over seeds, bars one standard deviation; pale lines are after the first step (at the start, for the
    size), full ones after the last. Lines that lie flat say that the width has no influence.

    Args:
        check: what `modejax.training.check_widths` returned.
        ax: where to draw; a figure of its own by default.
        what: `"update"`, or `"size"`.
        colours: a colour for each map in their order, or by name.
        labels: what the legend calls each map instead, likewise.

    Returns:
        The axes.

    Raises:
        InputError: if `what` is neither.

    Example:
        >>> import numpy as np
        >>> from modejax.training import WidthCheck
        >>> sizes = np.ones((2, 2, 3, 1))
        >>> plot_width_check(WidthCheck(np.array([4, 16]), ("map1",), 0.01, sizes, sizes)).get_xlabel()
        'width N'
    """
    from modejax.training.widths import power_text

    powers, _ = check.powers(what)
    ax = own_axes(ax, (5.2, 4.0))
    drawn = choose(colours, check.map_names, [f"C{index}" for index in range(10)])
    words = choose(labels, check.map_names, check.map_names, "labels")
    values = getattr(check, what)
    early = 0 if what == "size" else 1
    for index, (name, colour) in enumerate(zip(words, drawn, strict=True)):
        ax.plot(check.widths, values[:, :, early, index].mean(axis=0), color=colour, alpha=0.35, lw=1.2)
        last = values[:, :, -1, index]
        spread = last.std(axis=0, ddof=1) if len(last) > 1 else np.zeros(last.shape[1])
        label = f"{name}, {power_text(powers[index])}"
        ax.errorbar(
            check.widths, last.mean(axis=0), spread, color=colour, marker="o", ms=4, lw=1.5, capsize=2, label=label
        )
    ax.set_yscale("log")
    set_number_axis(ax, [int(n) for n in check.widths])
    ax.set_xlabel("width N")
    noun = "change of z" if what == "update" else "size of z"
    ax.set_ylabel(f"{noun} (root mean square)")
    finish(ax)
    ax.legend(
        fontsize=8,
        framealpha=0.7,
        title_fontsize=8,
        title=f"after step {check.steps}; pale: {'start' if not early else 'step 1'}",
    )
    return ax


def save_width_check(path: str | Path, check: WidthCheck, title: str = "") -> Path:
    """Save the sizes and the updates of a check side by side.

    Args:
        path: the picture to write; its folder is made where it is missing.
        check: what `modejax.training.check_widths` returned.
        title: what stands above them.

    Returns:
        The path.

    Raises:
        InputError: if the picture cannot be written.

    Example:
        >>> import tempfile
        >>> from modejax.training import WidthCheck
        >>> sizes = np.ones((2, 2, 3, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_width_check(f"{folder}/a.png", WidthCheck(np.array([4, 16]), ("map1",), 0.01, sizes, sizes)).name
        'a.png'
    """
    from matplotlib.figure import Figure

    from modejax._files import replaced
    from modejax.plots.settings import own_style

    path = Path(path)
    with own_style():
        figure = Figure(figsize=(10, 4.2), layout="constrained", facecolor="white")
        for what, ax in zip(("size", "update"), figure.subplots(1, 2), strict=True):
            plot_width_check(check, ax, what=what)
        figure.suptitle(", ".join(filter(None, [title, f"rate {check.learning_rate:g}", check.verdict])), fontsize=9)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(path) as part:
                figure.savefig(part, dpi=110, format="png")
        except OSError as error:
            raise InputError(f"{path} could not be written ({error.strerror or error}); name another file") from None
    return path
