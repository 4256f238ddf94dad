"""The list of commands and the parser made from it."""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

__all__ = ["COMMANDS", "command_type", "parse"]

COMMANDS = {
    "sweep": "sweep:SweepCommand",
    "plan": "plan:PlanCommand",
    "show": "show:ShowCommand",
    "check-widths": "check_widths:CheckWidthsCommand",
    "data": "data:DataCommand",
    "online": "online:OnlineCommand",
    "decompose": "decompose:DecomposeCommand",
    "interpolate": "interpolate:InterpolateCommand",
    "svr": "svr:SvrCommand",
    "reproduce": "reproduce:ReproduceCommand",
    "doctor": "doctor:DoctorCommand",
}
"""The commands by name, each as `module:class` in `modejax.cli`."""

_DESCRIPTION = (
    "Train a whole grid of mode-decomposed networks (widths x modes x seeds x learning rates) as one compiled program. "
    "Start with 'modejax sweep'; 'modejax sweep --help' has its options, 'modejax doctor' checks the installation, "
    "'modejax --version' prints the version."
)
_COMPLETION_HEAD = "completion of words in bash (zsh, tcsh and fish likewise), to be run once:"
_COMPLETION = "modejax --tyro-write-completion bash ~/.local/share/bash-completion/completions/modejax"
_CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone)


def command_type(name: str) -> Any:
    """Return the class of a command.

    Args:
        name: a name of `COMMANDS`.

    Returns:
        The frozen dataclass from which its options are made.
    """
    module, kind = COMMANDS[name].split(":")
    return getattr(importlib.import_module(f"modejax.cli.{module}"), kind)


def parse(words: Sequence[str]) -> Any:
    """Parse the words of a command line into a command.

    Args:
        words: the words after `modejax`.

    Returns:
        The command, ready to `run()`.

    Raises:
        SystemExit: for `--help` (code 0), and for words that cannot be parsed (code 2).
    """
    if words and words[0] in COMMANDS:
        # Parsed alone, so that errors name the help of this command.
        kind = command_type(words[0])
        text = _filled(inspect.cleandoc(kind.__doc__)) + _block("examples:", kind.examples)
        return tyro.cli(kind, args=list(words[1:]), prog=f"modejax {words[0]}", description=text, config=_CONFIG)
    if len(words) == 3 and words[0] == "--tyro-write-completion":
        _make_parent(Path(words[2]))
    kinds: list[Any] = [Annotated[command_type(n), tyro.conf.subcommand(n, prefix_name=False)] for n in COMMANDS]
    return tyro.cli(
        functools.reduce(operator.or_, kinds),
        args=list(words) or ["--help"],
        prog="modejax",
        description=_filled(_DESCRIPTION) + _block(_COMPLETION_HEAD, (_COMPLETION,)),
        config=_CONFIG,
    )


def _make_parent(path: Path) -> None:
    """Make the parent folder of a file that will be written, if it is missing."""
    from modejax.errors import InputError

    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of the file to write, such as {path / 'modejax'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path.parent} cannot be made ({error.strerror}); give another path") from None


def _filled(text: str) -> str:
    """Wrap the paragraphs of a text to the width of the terminal."""
    columns = shutil.get_terminal_size().columns
    # tyro joins lines, except those that start with a space.
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(textwrap.fill(part, columns, subsequent_indent="  ") for part in parts)


def _block(head: str, commands: Sequence[str]) -> str:
    return "\n\n" + "\n".join([head, *(f"  {each}" for each in commands)])
