"""Turn the formulas of a page into MathML while the site is built, so that reading it needs no script and no network.

Arithmatex marks formulas (`$...$` and `$$...$$`) and leaves their TeX alone; latex2mathml translates it.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def with_mathml(page: str) -> str:
    """Return a page with each marked formula as MathML.

    Args:
        page: the HTML of the page.

    Returns:
        The same page without TeX.
    """
    page = _DISPLAY.sub(lambda found: _translated(found[1], "block"), page)
    return _INLINE.sub(lambda found: _translated(found[1], "inline"), page)


def on_page_content(content: str, **_: Any) -> str:
    """Do it for every page (called by MkDocs)."""
    return with_mathml(content)


def _translated(formula: str, display: str) -> str:
    return convert(html.unescape(formula).strip(), display=display)
