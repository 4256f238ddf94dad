"""Pages of results: one HTML file with facts, a table, figures and config, that refers to nothing outside."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modejax._files import replaced
from modejax.errors import InputError

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Picture", "encoded", "write_page"]

_READABLE = 64  # screen pixels an inch of a figure at which its text is still legible


class Picture(NamedTuple):
    """A figure of a page."""

    path: Path  # a PNG file
    head: str
    caption: str  # what is drawn, in sentences; empty for none


def encoded(pictures: Sequence[Picture], dpi: int) -> list[dict[str, object]]:
    """Return figures as the template `page.html.j2` takes them.

    Args:
        pictures: the figures, in the order of the page.
        dpi: dots an inch of their files.

    Returns:
        For each its head, caption, content in base 64, and the width in screen pixels at which it is readable.

    Raises:
        InputError: if a figure cannot be read.

    Example:
        >>> encoded([], 150)
        []
    """
    found = []
    for picture in pictures:
        try:
            content = picture.path.read_bytes()
        except OSError as error:
            raise InputError(f"the figure {picture.path} cannot be read ({error.strerror}); draw it again") from None
        # Bytes 16 to 19 of a PNG are its width; on a small screen a figure keeps a size at which it can be read.
        readable = int.from_bytes(content[16:20], "big") * _READABLE // dpi
        text = base64.b64encode(content).decode()
        found.append({"head": picture.head, "caption": picture.caption, "content": text, "readable": readable})
    return found


def write_page(folder: str | Path, template: str, **values: Any) -> Path:
    """Write `report.html` from a template that extends `page.html.j2`, whole or not at all.

    Args:
        folder: an existing folder.
        template: the file in `modejax/plots`.
        values: what the template names: title, facts, pictures, config, versions and its own.

    Returns:
        The path of the page.

    Raises:
        InputError: if it cannot be written; an earlier page stays whole.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = write_page(folder, "page.html.j2", title="a < b", facts=[], pictures=[], config={}, versions={})
        ...     "<h1>a &lt; b</h1>" in page.read_text()
        True
    """
    from importlib import resources

    import jinja2

    home = resources.files("modejax.plots")
    # The page holds what a user named (data sets, layers), so everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (home / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["options"] = _options
    page = environment.get_template(template).render(**values)
    path = Path(folder) / "report.html"
    try:
        with replaced(path) as part:
            part.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); what was there before is unchanged. "
            "Make room or name another folder"
        ) from None
    return path


def _options(text: str) -> Markup:
    """Set the options of a command line that a text names as code, which is not broken into lines."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"--[a-z-]+( [0-9.]*[0-9])?", r"<code>\g<0></code>", str(escape(text))))
