"""The command line, with one file for each command: it parses the options, calls the library and prints.

`main` picks the command; each command is a frozen dataclass from which tyro makes the options, with a `run() -> exit
code`. Options come from the library's own configs. Heavy libraries are imported when a command runs, so that
`modejax --help` answers at once. Nothing is computed here.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after `modejax`; by default those of the process.

    Returns:
        The exit code: 0 done, 1 a problem that `doctor` found, 2 input that is not allowed, 130 or 143 stopped by a
        signal with a run to resume.

    Example:
        >>> main(["--version"])
        modejax 0.2.0
        0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        from modejax._versions import version

        print(f"modejax {version('modejax')}")
        return 0
    # Figures look alike on every machine: Matplotlib, which is imported later, reads no settings of the user.
    os.environ["MATPLOTLIBRC"] = os.devnull
    from modejax.cli.commands import parse
    from modejax.errors import InputError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            return parse(words).run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (AssertionError, RuntimeError) as error:
        from modejax.backend import no_device

        sentence = no_device(error)
        if not sentence:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has closed it, so no message can be printed.
        sys.stderr.close()
        return 1


def _say(message: Warning | str, *_: object) -> None:
    """Print a warning without the line of code that raised it."""
    print(f"warning: {message}", file=sys.stderr)
