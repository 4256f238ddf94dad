"""The order of the layers of a chain, and pairs of layers whose widths follow one another."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from modejax.errors import InputError
from modejax.svr.layers import Flatten, LayerSpec, PairSpec
from modejax.weights.kernels import natural

__all__ = ["in_order", "joined", "mismatch"]


def _ratio(one: LayerSpec, two: LayerSpec) -> tuple[int, int] | None:
    """Return (flattened, spread) positions for layers that follow one another, or None."""
    out, into = one.width_out, two.width_in
    conv = len(one.kernel.shape) > 2, len(two.kernel.shape) > 2
    if into == out:
        return 1, 1
    if conv[0] and not conv[1] and into % out == 0:
        return into // out, 1
    if conv[1] and not conv[0] and into > 1 and out % into == 0:
        return 1, out // into
    return None


def joined(specs: Sequence[LayerSpec], writer: int, reader: int, flatten: Flatten | None) -> PairSpec:
    """Return a pair.

    Raises:
        InputError: widths do not follow one another, or `flatten` is unknown.
    """
    one, two = specs[writer], specs[reader]
    ratio = _ratio(one, two)
    if ratio is None:
        raise InputError(mismatch(one, two))
    if flatten not in (None, "channel_first", "channel_last"):
        raise InputError(f"unknown flatten {flatten!r}; allowed: channel_first, channel_last")
    last = two.kernel.layout in ("flax", "keras_transposed", "keras_depthwise")
    return PairSpec(writer, reader, *ratio, flatten or ("channel_last" if last else "channel_first"))


def in_order(specs: list[LayerSpec], notes: list[str]) -> tuple[list[LayerSpec], list[tuple[int, int]]]:
    """Return the layers of a chain in their order, and who reads from whom.

    The order of the arrays where it fits, or, where widths do not follow one another, the natural order of the names or
    of groups of them. Several last layers that read the one before them side by side are no chain.

    Args:
        specs: the layers in the order of the file.
        notes: what to tell; more is added.

    Raises:
        InputError: no order fits.
    """

    def fits(some: Sequence[LayerSpec], spread: bool) -> bool:
        ratios = [_ratio(a, b) for a, b in itertools.pairwise(some)]
        return all(each is not None and (spread or each[1] == 1) for each in ratios)

    by_name = sorted(specs, key=lambda spec: natural(spec.name))
    families: dict[str, list[LayerSpec]] = {}
    for spec in by_name:
        families.setdefault(re.sub(r"[\d_.]+.*", "", spec.name), []).append(spec)
    names = [spec.name for spec in specs]
    sorted_file = len(names) > 1 and names == sorted(names)  # its order says nothing of the network's
    orders = [by_name, specs] if sorted_file else [specs, by_name]
    if 1 < len(families) <= 6:
        orders += [list(itertools.chain(*some)) for some in itertools.permutations(families.values())]
    fitting = [some for some in orders if fits(some, spread=False)]
    if not fitting and fits(specs, spread=True):  # a decoder: a matrix before a convolution
        fitting = [specs]
    if fitting:
        chosen = list(fitting[0])
        if chosen != specs or (sorted_file and any(some not in (specs, by_name) for some in fitting)):
            notes.append("the order of the layers was found from their names and widths: check it, or give order=")
        if len(chosen[0].kernel.shape) > 2 and chosen[0].width_in == 1 and chosen[0] != specs[0]:
            notes.append(f"{chosen[0].name} reads one channel; if it is a depthwise convolution, give groups=")
        return chosen, [(i, i + 1) for i in range(len(chosen) - 1)]
    for some in orders[:2]:
        ends = _side_by_side(some)
        if ends > 1 and fits(some[: len(some) - ends + 1], spread=False):
            last = [spec.name for spec in some[-ends:]]
            notes.append(f"{', '.join(last)} read {some[-ends - 1].name} side by side (their widths)")
            stem = len(some) - ends
            chain = [(i, i + 1) for i in range(stem - 1)]
            return list(some), chain + [(stem - 1, i) for i in range(stem, len(some))]
    _advise_layout(specs)
    for one, two in itertools.pairwise(specs):
        if not _ratio(one, two):
            raise InputError(mismatch(one, two))
    raise AssertionError("an order that does not fit has a pair that does not")


def _side_by_side(specs: Sequence[LayerSpec]) -> int:
    """Return how many last layers read the same width, and none of them what another writes."""
    ends = [specs[-1]]
    for spec in reversed(specs[:-1]):
        if spec.width_in != specs[-1].width_in or len(spec.kernel.shape) != len(specs[-1].kernel.shape):
            break
        ends.append(spec)
    writes = {spec.width_out for spec in ends}
    return len(ends) if len(ends) < len(specs) and specs[-1].width_in not in writes else 1


def _advise_layout(specs: Sequence[LayerSpec]) -> None:
    """Refuse matrices that follow one another only if their axes lie the other way round."""
    open_ = [spec.kernel for spec in specs if spec.kernel.kind == "linear" and not spec.kernel.sure]
    if len(open_) < 2 or len(open_) != len(specs):
        return
    if all(a.shape[1] == b.shape[0] for a, b in itertools.pairwise(open_)):
        other = "torch" if open_[0].layout == "flax" else "flax"
        raise InputError(
            f"the widths of {', '.join(each.name for each in open_[:4])} follow one another only if their axes lie "
            f"the other way round than their names say, and no bias tells; give layout={other} (--layout {other})"
        )


def mismatch(one: LayerSpec, two: LayerSpec) -> str:
    """Return the message for layers that do not follow one another."""
    into, out = two.width_in, one.width_out
    text = (
        f"{two.name} reads {into} channels and {one.name} before it writes {out}; allowed: layers in the order of the "
        "network, of matching widths (a convolution may be flattened for a matrix). Give order=[...], or streams=[...] "
        "for a residual network, or leave layers out (exclude=[...])"
    )
    count = out // into
    if len(two.kernel.shape) > 2 and out % into == 0 and two.kernel.shape[0] % count == 0:
        text += f"; is {two.name} a convolution of {count} groups? Say groups={{{two.name!r}: {count}}}, or on the "
        text += f"command line --groups {two.name}={count}"
    return text
