"""The command to suggest after a run: a sweep of the same data over what the run leaves open."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modejax.sweep.config import SweepConfig

if TYPE_CHECKING:
    from modejax.plots.answer import Answer

__all__ = ["next_command", "option_words"]

_SEEDS = 5  # with fewer seeds, the bracket of a least number of modes is rough


def next_command(config: SweepConfig, folder: Path, few: Sequence[Answer] = ()) -> str:
    """Return a command to follow a run: a sweep of the same data over what the run leaves open.

    Args:
        config: the config of the run.
        folder: the folder of the run.
        few: the least numbers of modes that its arms need, as `modejax.plots.answers` returns them.

    Returns:
        The words of the command.

    Example:
        >>> next_command(SweepConfig(seeds=5), Path("runs/a"))
        'modejax sweep --network tied --seeds 5'
        >>> next_command(SweepConfig(dataset="mnist", learning_rates=(0.01, 0.1)), Path("runs/a"))
        'modejax sweep --learning-rates 0.01 0.1 --dataset mnist --validation 0.1'
    """
    if any("custom" in (arm.network, arm.layer, arm.optimiser) for arm in config.all_arms) or config.axes:
        return f"modejax show {shlex.quote(str(folder))} OTHER_RUN"
    return command_of(config, _open(config, few))


def _open(config: SweepConfig, few: Sequence[Answer]) -> dict[str, Any]:
    """Return the fields to change next, chosen by what a run leaves open."""
    first = config.first_arm
    several = any(len(arm.learning_rates) * len(arm.weight_decays) > 1 for arm in config.all_arms)
    if several and not config.validation and not any(arm.mask_after for arm in config.all_arms):
        return {"validation": 0.1}
    ends = {end for each in few if each.arm == first.name for end in each.rate_ends}
    if ends and len(first.learning_rates) > 1:
        return {"learning_rates": _wider(first.learning_rates, ends)}
    if first.modes and any(need.value is None for each in few if each.arm == first.name for need in each.needs):
        return {"modes": (*first.modes, 2 * max(first.modes))}
    if config.seeds < _SEEDS:
        return {"seeds": _SEEDS}
    if not config.arms and (config.network, config.layer, config.mask) == ("mlp", "mode", "none") and config.depth:
        return {"network": "tied", "layer_options": (), "prune": ()}
    if not config.truncate_every and config.takes_modes != "none":
        return {"truncate_every": max(1, config.epochs // 8)}
    return {"seeds": 2 * config.seeds}


def _wider(rates: Sequence[float], ends: set[str]) -> tuple[float, ...]:
    """Add a learning rate at each of the given ends, at the same ratio as between that end and the rate next to it.

    Example:
        >>> _wider((0.002, 0.01, 0.03), {"largest"})
        (0.002, 0.01, 0.03, 0.09)
    """
    tried = sorted(rates)
    below = [tried[0] ** 2 / tried[1]] if "smallest" in ends else []
    above = [tried[-1] ** 2 / tried[-2]] if "largest" in ends else []
    return tuple(float(f"{rate:.2g}") for rate in below) + tuple(tried) + tuple(float(f"{rate:.2g}") for rate in above)


def command_of(config: SweepConfig, changes: dict[str, Any]) -> str:
    """Return the command line of a config with some fields changed; fields with their default value are left out.

    Args:
        config: the config.
        changes: new values by the name of the field.

    Returns:
        The words, quoted for a shell.

    Example:
        >>> command_of(SweepConfig(bias=True, arms=("wide widths=99",)), {"epochs": 3})
        "modejax sweep --bias --arm 'wide widths=99' --epochs 3"
    """
    names = [field.name for field in dataclasses.fields(SweepConfig) if field.name != "launches"]
    default, words = SweepConfig(), ["modejax", "sweep"]
    for name in names:
        value = changes.get(name, getattr(config, name))
        if value == getattr(default, name) or (name == "widths" and not config.depth):
            continue
        if name == "modes" and config.takes_modes == "none":
            continue
        option = "--" + name.replace("_", "-")
        if name == "arms":
            words += [word for arm in value for word in ("--arm", arm)]
        elif isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, *option_words(value)]
    return shlex.join(words)


def option_words(value: Any) -> list[str]:
    """Return the words of a command line that give an option this value.

    Example:
        >>> option_words((0.1, 2.0)), option_words("digits")
        (['0.1', '2'], ['digits'])
    """
    values = value if isinstance(value, tuple) else (value,)
    return [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
