"""The list of commands and the parser made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from modejax.cli.check_widths import CheckWidthsCommand
from modejax.cli.data import DataCommand
from modejax.cli.decompose import DecomposeCommand
from modejax.cli.interpolate import InterpolateCommand
from modejax.cli.online import OnlineCommand
from modejax.cli.plan import PlanCommand
from modejax.cli.reproduce import ReproduceCommand
from modejax.cli.show import ShowCommand
from modejax.cli.svr import SvrCommand
from modejax.cli.sweep import SweepCommand

__all__ = ["parse"]

_COMMANDS = (
    Annotated[SweepCommand, tyro.conf.subcommand("sweep", prefix_name=False)]
    | Annotated[PlanCommand, tyro.conf.subcommand("plan", prefix_name=False)]
    | Annotated[ShowCommand, tyro.conf.subcommand("show", prefix_name=False)]
    | Annotated[DataCommand, tyro.conf.subcommand("data", prefix_name=False)]
    | Annotated[CheckWidthsCommand, tyro.conf.subcommand("check-widths", prefix_name=False)]
    | Annotated[OnlineCommand, tyro.conf.subcommand("online", prefix_name=False)]
    | Annotated[DecomposeCommand, tyro.conf.subcommand("decompose", prefix_name=False)]
    | Annotated[InterpolateCommand, tyro.conf.subcommand("interpolate", prefix_name=False)]
    | Annotated[SvrCommand, tyro.conf.subcommand("svr", prefix_name=False)]
    | Annotated[ReproduceCommand, tyro.conf.subcommand("reproduce", prefix_name=False)]
)

_DESCRIPTION = (
    "Train a whole grid of mode-decomposed networks (widths x modes x seeds x learning rates) as one compiled program. "
    "Start with 'modejax sweep'; 'modejax --version' prints the version."
)


def parse(words: Sequence[str]) -> Any:
    """Return the command that the words of a command line ask for.

    Args:
        words: the words after `modejax`.

    Returns:
        The command, ready to `run()`.

    Raises:
        SystemExit: for `--help` (code 0), and for words that are no command (code 2).
        InputError: if an option has a value that is not allowed.
    """
    return tyro.cli(
        _COMMANDS,  # pyright: ignore[reportArgumentType]
        args=list(words) or ["--help"],
        prog="modejax",
        description=_DESCRIPTION,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
