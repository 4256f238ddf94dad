"""Networks that are no chains: residual networks of torchvision's names, and transformers of any names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from modejax.svr.layers import LayerSpec, Stream
from modejax.weights.kernels import natural

__all__ = ["resnet_key", "resnet_streams", "transformer_pairs"]

_BLOCK = re.compile(r"(.*?)layer(\d+)\.(\d+)\.(conv(\d+)|downsample\.0)$")
_QUERY = re.compile(r"^(q|query|q_proj|to_q|wq|W_Q|q_lin|query_dense|query_proj|queries)$", re.IGNORECASE)
_KEY = re.compile(r"^(k|key|k_proj|to_k|wk|W_K|k_lin|key_dense|key_proj|keys)$", re.IGNORECASE)
_VALUE = re.compile(r"^(v|value|v_proj|to_v|wv|W_V|v_lin|value_dense|value_proj|values)$", re.IGNORECASE)
_FUSED = re.compile(r"^(qkv|c_attn|in_proj(_weight)?|query_key_value|Wqkv|qkv_proj|to_qkv|to_kv|kv)$", re.IGNORECASE)
_MOST = 300


def resnet_key(name: str) -> tuple[Any, ...]:
    """Sort torchvision's names: stem, blocks, in them a downsampling convolution first, head."""
    found = _BLOCK.match(name)
    if found:
        return (1, int(found[2]), int(found[3]), int(found[5] or 0))
    return (0 if name.rsplit(".", 1)[-1].startswith("conv") else 2, natural(name))


def resnet_streams(names: list[str]) -> tuple[Stream, ...] | None:
    """Return the streams of a network with torchvision's ResNet names, or None for other names."""
    blocks: dict[tuple[int, int], dict[str, str]] = {}
    for name in names:
        found = _BLOCK.match(name)
        if found:
            blocks.setdefault((int(found[2]), int(found[3])), {})[found[4]] = name
    others = [name for name in names if not _BLOCK.match(name)]
    if not blocks or len(others) != 2 or not all(any(k.startswith("conv") for k in parts) for parts in blocks.values()):
        return None
    stem, head = sorted(others, key=resnet_key)
    streams = []
    writers: list[str] = [stem]
    readers: list[str] = []
    for key in sorted(blocks):
        parts = blocks[key]
        convs = [parts[name] for name in sorted(parts) if name.startswith("conv")]
        streams += [Stream((one,), (two,)) for one, two in itertools.pairwise(convs)]
        readers.append(convs[0])
        if "downsample.0" in parts:  # the stream ends here, and a new one begins
            readers.append(parts["downsample.0"])
            streams.append(Stream(tuple(writers), tuple(readers)))
            writers, readers = [parts["downsample.0"]], []
        writers.append(convs[-1])
    streams.append(Stream(tuple(writers), (*readers, head)))
    return tuple(streams)


def _leaf(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _role(name: str) -> str:
    leaf = _leaf(name)
    for role, pattern in (("q", _QUERY), ("k", _KEY), ("v", _VALUE), ("qkv", _FUSED)):
        if pattern.match(leaf):
            return role
    return ""


def _block(name: str) -> str:
    """Return a name up to its last number that is a part of its own."""
    parts = name.split(".")
    places = [i for i, part in enumerate(parts[:-1]) if part.isdecimal()]
    return ".".join(parts[: places[0] + 1]) if places else ""


def transformer_pairs(
    specs: Sequence[LayerSpec], notes: list[str]
) -> tuple[list[LayerSpec], list[tuple[int, int]]] | None:
    """Return the layers of a transformer in their order, and who reads from whom.

    Maps to queries, keys, values, gates and inner units read the stream side by side. Values are read by the map
    behind them, inner units and gates by the map back; what those write goes to the stream. Roles inside a block are
    told by widths, and by names for the maps of attention alone.

    Args:
        specs: the layers.
        notes: what to tell; more is added.

    Returns:
        None for a network without attention.
    """
    roles = {spec.name: _role(spec.name) for spec in specs}
    attending = [spec for spec in specs if roles[spec.name]]
    if not any(role in ("q", "qkv") for role in roles.values()):
        return None
    width = next(spec for spec in attending if roles[spec.name] in ("q", "qkv")).width_in
    blocks: dict[str, list[LayerSpec]] = {}
    for spec in specs:
        blocks.setdefault(_block(spec.name), []).append(spec)
    inside = [block for block in blocks if any(roles[spec.name] for spec in blocks[block])]
    order: list[LayerSpec] = []
    links: list[tuple[str, str]] = []
    writers: list[str] = []
    outside = [spec for block, some in blocks.items() if block not in inside for spec in some]
    for spec in outside:
        if spec.width_out == width and spec.width_in != width:
            order.append(spec)
            writers.append(spec.name)
    for block in sorted(inside, key=natural):
        some = blocks[block]
        if len({spec.name.rsplit(".", 1)[0] for spec in some if roles[spec.name] in ("q", "qkv")}) > 1:
            notes.append(f"{block or 'a block'} attends more than once; give streams= for what lies between its maps")
            return None
        order += _one_block(some, roles, width, writers, links, notes)
    readers = [spec for spec in outside if spec not in order and spec.width_in == width]
    order += readers
    links += [(writer, spec.name) for writer in writers for spec in readers]
    lost = [spec.name for spec in specs if spec not in order]
    if lost:
        notes.append(f"not joined to the stream of {width} channels: {', '.join(lost[:4])}{' ...' if lost[4:] else ''}")
    index = {spec.name: i for i, spec in enumerate(order)}
    pairs = sorted({(index[a], index[b]) for a, b in links}, key=lambda pair: (pair[1], pair[0]))
    if len(pairs) > _MOST:
        notes.append(
            f"{len(pairs)} pairs of writers and readers of the stream; the {_MOST} that stand nearest are shown"
        )
        pairs = sorted(sorted(pairs, key=lambda pair: pair[1] - pair[0])[:_MOST], key=lambda pair: (pair[1], pair[0]))
    notes.append(f"a transformer: {len(inside)} blocks on a stream of {width} channels; parallel maps are siblings")
    return order, pairs


def _one_block(
    some: Sequence[LayerSpec],
    roles: dict[str, str],
    width: int,
    writers: list[str],
    links: list[tuple[str, str]],
    notes: list[str],
) -> list[LayerSpec]:
    """Join the maps of one block, and return them in order."""
    attending = sorted((spec for spec in some if roles[spec.name]), key=lambda spec: "q k v qkv".find(roles[spec.name]))
    values = [spec for spec in attending if roles[spec.name] == "v"]
    fused = [spec for spec in attending if roles[spec.name] == "qkv"]
    above = {part for spec in attending for part in spec.name.split(".")[:-1]} - {_block(attending[0].name)}
    rest = [spec for spec in some if not roles[spec.name]]
    shared = {part for part in above if not part.isdecimal() and re.search("att", part, re.IGNORECASE)}
    into = values[0].width_out if values else fused[0].width_out // 3 if fused else width
    backs = [spec for spec in rest if spec.width_out == width and shared & set(spec.name.split("."))]
    named = [spec for spec in rest if re.match(r"^(o_?proj|out_?proj|wo|W_O|out|to_out|o|out_lin)$", _leaf(spec.name))]
    back = next(iter([*backs, *(spec for spec in named if spec.width_out == width)]), None)
    order = list(attending)
    links += [(writer, spec.name) for writer in writers for spec in attending if spec.width_in == width]
    if back is not None:
        order.append(back)
        if values and values[0].width_out == back.width_in:
            links.append((values[0].name, back.name))
        elif values:
            notes.append(f"{values[0].name} writes {into} channels for several queries each; its pair is left out")
        elif fused:
            notes.append(
                f"{fused[0].name} writes queries, keys and values together; its pair with {back.name} is left out"
            )
        writers.append(back.name)
    inner = [spec for spec in rest if spec is not back]
    down = [spec for spec in inner if spec.width_out == width and spec.width_in != width]
    up = [spec for spec in inner if spec.width_in == width and spec not in down]
    if not down and len(up) > 1 and all(spec.width_out == width for spec in up):  # square: in the order of the names
        up.sort(key=lambda spec: natural(spec.name))
        down = [up.pop()]
    order += up
    links += [(writer, spec.name) for writer in writers for spec in up]
    for spec in down:
        order.append(spec)
        links += [(each.name, spec.name) for each in up if each.width_out == spec.width_in]
    writers += [spec.name for spec in down]
    return order
