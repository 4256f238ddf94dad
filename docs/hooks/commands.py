"""Put the help of every command where a page says `<!-- help of all commands -->`, each under a heading of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

_MARK = "<!-- help of all commands -->"
_COMMANDS = re.compile(r"^usage: modejax[^{]*\{([\w,\s-]+)\}")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Do it for every page (called by MkDocs)."""
    if _MARK not in markdown:
        return markdown
    listed = _COMMANDS.search(help_of())
    if listed is None:
        raise ValueError("`modejax --help` names no commands in its first line")
    parts = [f"## {name}\n\n```text\n{help_of(name)}\n```" for name in "".join(listed[1].split()).split(",")]
    return markdown.replace(_MARK, "\n\n".join(parts))


def help_of(*words: str) -> str:
    """Return what `modejax WORDS --help` prints at 80 columns.

    Args:
        *words: the name of a command, or nothing.

    Returns:
        The text, without colours.
    """
    line = [sys.executable, "-m", "modejax", *words, "--help"]
    plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(line, env=plain, capture_output=True, text=True, check=True).stdout.strip()
