"""The options of a sweep on the command line: one by one, or from a file."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Annotated, Any

import tyro

from modejax.errors import InputError
from modejax.sweep.config import SweepConfig

__all__ = ["File", "SweepOptions", "chosen_config", "given_options", "option_name"]

File = Annotated[
    tyro.conf.Positional[Path | None],
    tyro.conf.arg(
        metavar="FILE.toml",
        help="File with the options of the sweep: learning_rates = [0.01], and a table [arms.NAME] for each further "
        "arm; the options themselves are left out then.",
    ),
]
"""A positional argument that may be missing."""


@dataclasses.dataclass(frozen=True)
class SweepOptions(SweepConfig):
    """A `SweepConfig` whose further arms are given one by one."""

    arms: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--arm"], metavar="ARM"), tyro.conf.UseAppendAction] = ()
    """A further arm, as "NAME field=value,value ..."; may be repeated. What it does not name it has from the first
    one: --arm "dense layer=dense learning_rates=0.001,0.003"."""

    @property
    def config(self) -> SweepConfig:
        """The same as a plain record."""
        return SweepConfig(**{field.name: getattr(self, field.name) for field in dataclasses.fields(SweepConfig)})


def given_options(config: SweepConfig) -> list[str]:
    """Return the fields of a config that differ from the defaults.

    Args:
        config: the config.

    Returns:
        Their names.

    Example:
        >>> given_options(SweepConfig(epochs=3))
        ['epochs']
    """
    default = SweepConfig()
    return [f.name for f in dataclasses.fields(config) if getattr(config, f.name) != getattr(default, f.name)]


def option_name(field: str) -> str:
    """Return the option of a field.

    Example:
        >>> option_name("learning_rates")
        '--learning-rates'
    """
    return "--" + field.replace("_", "-")


def chosen_config(options: SweepOptions, file: Path | None) -> SweepConfig:
    """Return the config that the options or the file describe.

    Args:
        options: the options.
        file: a TOML file, instead of options; None for none.

    Returns:
        The config.

    Raises:
        InputError: if options stand beside a file, or it cannot be read or is no config.
    """
    config = options.config
    if file is None:
        return config
    given = given_options(config)
    if given:
        raise InputError(
            f"{file} describes the sweep, and so does {', '.join(map(option_name, given))}; write it into the file, or "
            "leave the file out (beside a file go --out, --overwrite, --progress, --json and --compile-cache)"
        )
    return SweepConfig.from_fields(_read(file))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror or error}); allowed: a TOML file with the options of a sweep"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{file} is no TOML file ({error})") from None
