"""Grouped convolutions, which can only be recognised by the widths of the layers around them."""

from __future__ import annotations

from collections.abc import Sequence

from modejax.weights.arrays import Weights
from modejax.weights.kernels import Kernel, natural
from modejax.weights.roles import split

__all__ = ["find_groups"]


def find_groups(kernels: Sequence[Kernel], weights: Weights) -> list[Kernel]:
    """Find depthwise and grouped convolutions among the kernels.

    A convolution with one input channel is depthwise if other layers write and read as many channels as it has, and the
    network begins elsewhere. A convolution with more input channels is grouped if no layer writes as few channels as it
    reads, and the layer before it in its block writes a multiple.

    Args:
        kernels: the kernels of a network.
        weights: the file, for the order of its arrays.

    Returns:
        The kernels, with the number of groups where groups were found.

    Example:
        >>> shapes = {"a": (16, 3, 3, 3), "d": (16, 1, 3, 3), "b": (32, 16, 1, 1)}
        >>> kernels = [Kernel(name, name, "flax", shape, None, "conv") for name, shape in shapes.items()]
        >>> find_groups(kernels, Weights.of({}, "doctest"))[1].groups
        16
    """
    out = list(kernels)
    convs = [each for each in kernels if len(each.shape) > 2 and each.kind == "conv" and each.groups == 1]
    convs = [each for each in convs if each.key not in weights.facts]
    for place, each in enumerate(kernels):
        if each not in convs:
            continue
        others = [other for other in kernels if other is not each]
        size, into = each.shape[0], each.shape[1]
        if into == 1 and size > 1:
            writers = [other for other in others if other.shape[0] == size and other.shape[1] != 1]
            readers = [other for other in others if other.shape[1] == size]
            entries = [
                other
                for other in others
                if other.shape[1] > 1 and not any(writer.shape[0] == other.shape[1] for writer in kernels)
            ]
            earlier = weights.ordered and any(kernels.index(writer) < place for writer in writers)
            if writers and readers and (entries or earlier):
                out[place] = each._replace(
                    kind="depthwise", groups=size, why=f"one input, and {writers[0].name} writes {size} channels"
                )
            continue
        before = _before(each, kernels)
        if before is None or any(other.shape[0] == into for other in others):
            continue
        count, over = divmod(before.shape[0], into)
        if count > 1 and not over and size % count == 0:
            out[place] = each._replace(
                groups=count, why=f"it reads {into} channels and {before.name} before it writes {before.shape[0]}"
            )
    return out


def _before(kernel: Kernel, kernels: Sequence[Kernel]) -> Kernel | None:
    """Return the convolution before one in its block."""
    parent = split(kernel.name)[0]
    block = sorted(
        (each for each in kernels if split(each.name)[0] == parent and len(each.shape) > 2),
        key=lambda k: natural(k.name),
    )
    place = block.index(kernel)
    return block[place - 1] if parent and place > 0 else None
