"""The options of a sweep on the command line, given one by one or in a file."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from modejax.errors import InputError
from modejax.sweep.arm import Arm
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
"""An optional positional argument."""


_GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grid": (
        "What is trained: every combination of these.",
        (
            "widths",
            "modes",
            "seeds",
            "first_seed",
            "learning_rates",
            "weight_decays",
            "sparsities",
            "train_examples",
            "label_noise",
            "axes",
        ),
    ),
    "network": (
        "The networks of the first arm.",
        (
            "network",
            "network_options",
            "layer",
            "layer_options",
            "bias",
            "depth",
            "activation",
            "mask",
            "mask_after",
        ),
    ),
    "training": (
        "Data, optimiser, schedule and held-out data.",
        (
            "dataset",
            "data_dir",
            "epochs",
            "batch_size",
            "batches",
            "shuffle_seed",
            "optimiser",
            "optimiser_options",
            "momentum",
            "schedule",
            "halve_every",
            "warm_up",
            "penalty",
            "validation",
            "patience",
            "least_improvement",
        ),
    ),
    "curves": (
        "Accuracy of networks cut back to some of their modes, and of pruned ones.",
        ("truncate_every", "order", "cut", "kept", "draws", "prune", "percentiles", "prune_by_layer"),
    ),
    "arms": (
        "Other networks in the same program, and the dense baseline.",
        (
            "name",
            "arms",
            "baseline",
            "baseline_bias",
            "baseline_learning_rates",
            "baseline_weight_decays",
        ),
    ),
    "machine": (
        "Devices, memory and arithmetic.",
        ("precision", "buckets", "devices", "memory_limit", "launches"),
    ),
}
"""The options of a sweep by group: a description of the group, and the fields of `SweepConfig` in it."""

_SPECIAL: dict[str, Any] = {
    "arms": Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            aliases=["--arm"],
            metavar="ARM",
            help='A further arm, as "NAME field=value,value ..."; may be repeated. What it does not name it has from '
            'the first one: --arm "dense layer=dense learning_rates=0.001,0.003".',
        ),
        tyro.conf.UseAppendAction,
    ]
}


def _group(name: str) -> type:
    """Make the dataclass of a group of options; tyro shows it as one box of the help."""
    about, fields = _GROUPS[name]
    types, texts = get_type_hints(SweepConfig), _texts()
    defaults = {field.name: field.default for field in dataclasses.fields(SweepConfig)}
    made = [
        (field, _SPECIAL.get(field, Annotated[types[field], tyro.conf.arg(help=texts[field])]), defaults[field])
        for field in fields
    ]
    group = dataclasses.make_dataclass(f"{name.title()}Options", made, frozen=True)
    group.__doc__ = about
    return group


@functools.cache
def _texts() -> dict[str, str]:
    """Return the docstrings of the fields of `SweepConfig`, which serve as the help of the options."""
    found = {}
    for kind in (Arm, SweepConfig):
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in itertools.pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


class _Groups:
    """Base class of `SweepOptions`, the dataclass of all groups of options."""

    @property
    def config(self) -> SweepConfig:
        """The config that the options describe.

        Raises:
            InputError: if an option has a value that is not allowed.
        """
        groups = [getattr(self, name) for name in _GROUPS]
        return SweepConfig(**{f.name: getattr(group, f.name) for group in groups for f in dataclasses.fields(group)})


if TYPE_CHECKING:
    SweepOptions = _Groups
else:
    SweepOptions = dataclasses.make_dataclass(
        "SweepOptions", [(name, _group(name)) for name in _GROUPS], bases=(_Groups,), frozen=True
    )
    SweepOptions.__doc__ = "The options of a sweep, in groups."


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
        options: the options of the command line.
        file: path of a TOML file that is read instead of options; None for none.

    Returns:
        The config.

    Raises:
        InputError: if options are given together with a file, or the file cannot be read or is no config.
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
