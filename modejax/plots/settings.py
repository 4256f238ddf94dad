"""Settings under which figures are drawn, whatever those of the user are, and names as figures show them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["own_style", "plain"]


def plain(text: str, most: int = 60) -> str:
    """Return a name as figures show it: no formula, and cut in the middle where it is long.

    Args:
        text: a name from a file.
        most: characters.

    Example:
        >>> plain("a$b") == "a" + chr(92) + "$b", plain("encoder.layers.0.mlp.fc", 15)
        (True, 'encode…0.mlp.fc')
    """
    if len(text) > most:
        head = (most - 1) * 3 // 7
        text = f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[-(most - 1 - head) :]}"
    return "".join(each if each.isprintable() else "?" for each in text).replace("$", r"\$")


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Draw under the settings of Matplotlib itself, whatever the user set: TeX, fonts, sizes.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context({"text.usetex": True}), own_style():
        ...     matplotlib.rcParams["text.usetex"]
        False
    """
    import matplotlib

    with matplotlib.rc_context():
        fixed = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
        matplotlib.rcParams.update(fixed)  # pyright: ignore
        yield
