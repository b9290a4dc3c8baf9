"""The wire format of protocol buffers, as far as a serialized `tf.train.Example` of bytes features needs it.

Values' bytes in, parts of messages out, and back. Written here because protobuf's classes take `prepare` 11 % more
processor time for each record ("Replacements tried" in benchmarks/README.md).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def header(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return bytes([number << 3 | 2]) + _varint(length)


@functools.lru_cache(maxsize=256)
def example_header(length: int) -> bytes:
    """The first bytes of a serialized Example of `length` bytes in all."""
    return next((h for size in range(2, 12) if len(h := header(1, length - size)) == size), b"") if length > 2 else b""


@functools.lru_cache(maxsize=256)
def entry_header(name: str, length: int) -> bytes:
    """The bytes before a payload in an entry of Features.feature: the nested headers, built from the inside out."""
    headers = header(1, length)  # BytesList.value
    headers = header(1, length + len(headers)) + headers  # Feature.bytes_list
    headers = header(2, length + len(headers)) + headers  # the entry's value
    headers = header(1, len(name.encode())) + name.encode() + headers  # the entry's key
    return header(1, length + len(headers)) + headers  # Features.feature


def one(message: bytes | memoryview, number: int) -> memoryview:
    """The first field of that number.

    Raises:
        ValueError: there is none, or the message is broken.
    """
    for field, payload in numbered(memoryview(message)):
        if field == number:
            return payload
    raise ValueError(f"expected a serialized Example, received a message without field {number}")


def numbered(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The message's fields with their numbers; all are length-delimited in an Example of bytes features.

    Raises:
        ValueError: a field of another kind, or one that is longer than the message.
    """
    position, end = 0, len(view)
    while position < end:
        tag = view[position]
        if tag & 7 != 2:
            raise ValueError(f"expected a serialized Example, received wire type {tag & 7} at byte {position}")
        length, shift, position = 0, 0, position + 1
        while True:
            if position >= end or shift > 35:
                raise ValueError(f"expected a serialized Example, received a broken length at byte {position}")
            byte = view[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if position + length > end:
            raise ValueError(f"expected {length} bytes at byte {position}, received {end - position}")
        yield tag >> 3, view[position : position + length]
        position += length
