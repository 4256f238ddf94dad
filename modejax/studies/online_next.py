"""The command to try after `modejax online`: the same members, with what the run leaves open."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from modejax.studies.online_config import OnlineConfig

__all__ = ["next_command"]

_SEEDS = 5
_LATER = 4


def next_command(config: OnlineConfig, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a command that goes on from a run.

    Args:
        config: what was run.
        rows: its table, see `modejax.studies.online_table.table_rows`.

    Returns:
        The words: smaller learning rates where something diverged; a simulation where there was none; a later end while
        the slowest mode is still being learnt; else more input dimensions, whose runs are closer to the theory.

    Example:
        >>> rows = [{"eta": 5.0, "theory_status": "finished", "diverged_seeds": "", "slowest_rate": 0.001}]
        >>> next_command(OnlineConfig(seeds=0), rows)  # five seeds are the default
        'modejax online'
        >>> next_command(OnlineConfig(), rows)
        'modejax online --last-time 1000'
        >>> next_command(OnlineConfig(), [rows[0] | {"diverged_seeds": "2"}])
        'modejax online --eta 2.5'
    """
    changes = _open(config, rows)
    default, words = OnlineConfig(), ["modejax", "online"]
    for field in dataclasses.fields(OnlineConfig):
        name, value = field.name, changes.get(field.name, getattr(config, field.name))
        brought = config.teacher is not None and name in ("d", "units", "modes")
        if value == getattr(default, name) or brought or name in ("out", "overwrite"):
            continue
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option)
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [option, *(f"{each:.6g}" if isinstance(each, float) else str(each) for each in values)]
    return shlex.join(words)


def _open(config: OnlineConfig, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the options to change next."""
    diverged = [row["eta"] for row in rows if row["theory_status"] == "diverged" or row["diverged_seeds"]]
    if diverged:
        return {"eta": tuple(dict.fromkeys(eta / 2 if eta in diverged else eta for eta in config.eta))}
    if any(row["theory_status"] != "finished" for row in rows) and config.solver != "kvaerno5":
        return {"solver": "kvaerno5"}
    if not config.seeds:
        return {"seeds": _SEEDS}
    rates = [row["slowest_rate"] for row in rows if row["slowest_rate"]]
    if (rates and config.last_time < 1 / min(rates)) or config.teacher is not None:
        return {"last_time": _LATER * config.last_time}
    return {"d": (*config.d, 2 * max(config.d))}
