"""Which normalisation acts on a layer's output, as far as a file shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from modejax.errors import InputError, choices
from modejax.weights import Norm, Weights

if TYPE_CHECKING:
    from modejax.svr.layers import LayerSpec

__all__ = ["with_norms"]


class _Verdict(NamedTuple):
    layer: str | None  # whose output the norm acts on; None for none
    sure: bool
    why: str


def with_norms(
    specs: tuple[LayerSpec, ...],
    found: Sequence[Norm],
    weights: Weights,
    told: Mapping[str, str],
    notes: list[str],
) -> tuple[LayerSpec, ...]:
    """Give each layer the norm that acts on its output.

    A norm belongs to the layer that stands directly before it in its module, in files that keep the order of
    definition, or in a numbered sequence; or to the layer of its own number (`conv1`, `bn1`) whose outputs are as many
    as its channels. A norm that stands directly before the layer of its number, or has the channels of its input only,
    acts on the input (pre-activation) and is left out.

    Args:
        specs: the layers.
        found: the norms of the file.
        weights: the file.
        told: for names of layers those of their norms.
        notes: what to tell; more is added.

    Returns:
        The layers with their norms.

    Raises:
        InputError: `told` names what is no norm.
    """
    by_name = {norm.name: norm for norm in found}
    unknown = [name for name in told.values() if name not in by_name]
    if unknown:
        raise InputError(f"norms names {choices(unknown)}, which is no norm; the norms are {choices(by_name)}")
    chosen: dict[str, tuple[Norm, bool]] = {layer: (by_name[norm], True) for layer, norm in told.items()}
    modules = _modules(specs, found, weights)
    verdicts = {norm.name: _verdict(norm, specs, modules, weights) for norm in found if norm.name not in told.values()}
    verdicts = _by_relatives(verdicts, specs)
    before: list[str] = []
    lost: list[str] = []
    for name, verdict in verdicts.items():
        if verdict.layer is None:
            (before if verdict.why else lost).append(name)
        elif verdict.layer not in chosen:
            chosen[verdict.layer] = (by_name[name], verdict.sure)
    if before:
        notes.append(f"norms before their layers (pre-activation), left out: {_some(before)}")
    if lost:
        notes.append(f"the norm {_some(lost)} follows no layer and is left out; give norms={{layer: norm}}")
    open_ = [f"{layer} ({norm.name})" for layer, (norm, sure) in chosen.items() if not sure]
    if open_:
        notes.append(f"whether a norm acts before or after its layer is not told for {_some(open_)}: see --norms")
    return tuple(
        spec._replace(norm=chosen[spec.name][0], norm_sure=chosen[spec.name][1]) if spec.name in chosen else spec
        for spec in specs
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _key(norm: Norm) -> str:
    return next(each for each in norm[1:5] if each is not None)


def _modules(specs: Sequence[LayerSpec], found: Sequence[Norm], weights: Weights) -> list[str]:
    """Return the names of layers and norms in the order of the file."""
    position = {key: i for i, key in enumerate(weights)}
    places = [(position.get(spec.kernel.key, 0), spec.kernel.index or 0, spec.name) for spec in specs]
    places += [(position[_key(norm)], norm.index or 0, norm.name) for norm in found]
    return [name for *_, name in sorted(places)]


def _numbers(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the parent of a module and the numbers in its name."""
    return name.rpartition(".")[0], tuple(re.findall(r"\d+", name))


def _verdict(norm: Norm, specs: Sequence[LayerSpec], modules: list[str], weights: Weights) -> _Verdict:
    shape = weights.shapes[_key(norm)]
    size = shape[-1]
    parent, _, last = norm.name.rpartition(".")
    layers = {spec.name: spec for spec in specs}
    if last.isdecimal():  # a numbered sequence runs in its order
        earlier = [
            spec
            for spec in specs
            if spec.name.rpartition(".")[0] == parent
            and spec.name.rpartition(".")[2].isdecimal()
            and int(spec.name.rpartition(".")[2]) < int(last)
        ]
        if earlier:
            home = max(earlier, key=lambda spec: int(spec.name.rpartition(".")[2]))
            return _Verdict(home.name if home.width_out == size else None, True, "")
        if any(spec.name.rpartition(".")[0] == parent for spec in specs):
            return _Verdict(None, True, "it comes first")
    twin = next((spec for spec in specs if _numbers(spec.name) == _numbers(norm.name) != ("", ())), None)
    place = modules.index(norm.name)
    ahead = modules[place + 1] if place + 1 < len(modules) else ""
    behind = modules[place - 1] if place else ""
    if twin is not None and size in (twin.width_out, twin.width_in):
        if weights.ordered and behind == twin.name:
            return _Verdict(twin.name if twin.width_out == size else None, True, "")
        if weights.ordered and ahead == twin.name:
            return _Verdict(None, True, "it stands before the layer of its number")
        if twin.width_out != twin.width_in:
            fits = twin.width_out == size
            return _Verdict(twin.name if fits else None, True, "" if fits else "it has the channels of the input")
        return _Verdict(twin.name, False, "")
    home = layers.get(behind)
    if weights.ordered and home is not None and home.name.rpartition(".")[0] == parent and home.width_out == size:
        return _Verdict(home.name, True, "")
    return _Verdict(None, True, "")


def _by_relatives(verdicts: Mapping[str, _Verdict], specs: Sequence[LayerSpec]) -> dict[str, _Verdict]:
    """Settle what is open as it is settled for norms whose names differ in numbers only."""

    def family(name: str) -> str:
        return re.sub(r"\d+", "#", name)

    sides: dict[str, set[bool]] = {}
    for name, each in verdicts.items():
        if each.sure and (each.layer is not None or each.why):
            sides.setdefault(family(name), set()).add(each.layer is not None)
    out = dict(verdicts)
    for name, each in verdicts.items():
        told = sides.get(family(name), set())
        if not each.sure and len(told) == 1:
            after = next(iter(told))
            out[name] = _Verdict(each.layer if after else None, True, "" if after else "as others of its name")
    return out
