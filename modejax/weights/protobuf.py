"""The wire format of protocol buffers, as far as ONNX needs it: messages are read as fields by number."""

from __future__ import annotations

from typing import Any

from modejax.errors import InputError

__all__ = ["fields", "floats", "integers"]


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise InputError("a number of the file is too long; it is damaged")


def fields(data: memoryview | bytes) -> dict[int, list[Any]]:
    """Return the fields of a message by number: integers, or the bytes of texts, messages and packed numbers.

    Raises:
        InputError: the bytes are no message.

    Example:
        >>> fields(bytes([8, 150, 1]))
        {1: [150]}
    """
    data = memoryview(data)
    found: dict[int, list[Any]] = {}
    place = 0
    try:
        while place < len(data):
            tag, place = _varint(data, place)
            number, kind = tag >> 3, tag & 7
            if kind == 0:
                value, place = _varint(data, place)
            elif kind in (1, 5, 2):
                size = {1: 8, 5: 4}.get(kind, 0)
                if kind == 2:
                    size, place = _varint(data, place)
                if place + size > len(data):
                    raise IndexError
                value, place = data[place : place + size], place + size
            else:
                raise IndexError
            found.setdefault(number, []).append(value)
    except IndexError:
        raise InputError("its bytes are no message of protocol buffers; it is damaged or no ONNX file") from None
    return found


def integers(values: list[Any]) -> list[int]:
    """Return a repeated field of integers, packed or not, as signed ones of 64 bits.

    Example:
        >>> integers([3, memoryview(bytes([1, 2]))])
        [3, 1, 2]
    """
    found: list[int] = []
    for each in values:
        if isinstance(each, int):
            found.append(each)
            continue
        place = 0
        while place < len(each):
            value, place = _varint(each, place)
            found.append(value)
    return [value - (1 << 64) if value >= 1 << 63 else value for value in found]


def floats(values: list[Any], size: int = 4) -> list[float]:
    """Return a repeated field of floats, packed or not.

    Example:
        >>> import struct
        >>> floats([memoryview(struct.pack("<2f", 1.0, 0.5))])
        [1.0, 0.5]
    """
    import struct

    found: list[float] = []
    for each in values:
        found += struct.unpack(f"<{len(each) // size}{'f' if size == 4 else 'd'}", each)
    return found
