"""The fields of protocol-buffer messages (ONNX graphs, MediaPipe's metadata), read without their schema."""

from __future__ import annotations

from collections.abc import Iterator


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message: whole numbers as such, the others as bytes.

    Raises
    ------
    ValueError, IndexError
        This is no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == 0:
            value, at = _varint(data, at)
        else:
            fixed = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, at = _varint(data, at)
            elif fixed:
                size = fixed
            else:
                raise ValueError(f"wire type {wire}")
            if at + size > len(data):
                raise ValueError("a field is longer than the file")
            value, at = data[at : at + size], at + size
        yield field, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
