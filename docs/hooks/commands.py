"""Put the help of each command where a page says `<!-- help: COMMAND -->`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

_MARK = re.compile(r"^<!-- help: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Do it for every page (called by MkDocs)."""
    return _MARK.sub(lambda found: f"```text\n{help_of(found[1])}\n```", markdown)


def help_of(command: str) -> str:
    """Return what `modejax COMMAND --help` prints at 80 columns.

    Args:
        command: the name of the command.

    Returns:
        The text, without colours.
    """
    words = [sys.executable, "-m", "modejax", command, "--help"]
    plain = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(words, env=plain, capture_output=True, text=True, check=True)
    return done.stdout.strip()
