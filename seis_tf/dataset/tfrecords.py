"""The TFRecord container: length, CRC of the length, payload, CRC of the payload (TensorFlow's `record_writer.h`).

Written and checked here without TensorFlow, with the CRC-32C of `google-crc32c`: a process that prepares or verifies
data starts in a fraction of a second, and a damaged record is named by file, number and reason.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import google_crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


class DamagedShardError(ValueError):
    """A shard's bytes are not what was written."""


def masked_crc(payload: bytes) -> int:
    """CRC-32C, rotated right by 15 bits plus a constant, as TFRecord files store it."""
    crc = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Writer:
    """Appends records to an open file, counting its bytes and their checksum.

    Args:
        file: opened for writing in binary.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._checksum = file, google_crc32c.Checksum()
        self.bytes = 0

    def write(self, payload: bytes) -> None:
        """Appends one record."""
        self.write_all([payload])

    def write_all(self, payloads: Sequence[bytes]) -> None:
        """Appends records in one piece: the kernel takes megabytes at once in half the time of record after record."""
        parts: list[bytes] = []
        for payload in payloads:
            length = struct.pack("<Q", len(payload))
            parts += (length, _FOOTER.pack(masked_crc(length)), payload, _FOOTER.pack(masked_crc(payload)))
        piece = b"".join(parts)
        self._file.write(piece)
        self._checksum.update(piece)
        self.bytes += len(piece)

    def crc32c(self) -> str:
        """CRC-32C of all that was written, as eight hex digits."""
        return self._checksum.hexdigest().decode()


def read_records(path: Path, whole: google_crc32c.Checksum | None = None) -> Iterator[bytes]:
    """The payloads of a TFRecord file, each with both checksums checked.

    Args:
        path: the file.
        whole: is given all bytes as they are read.

    Raises:
        DamagedShardError: names the file, the record (from 0) and what is wrong.
    """
    with open(path, "rb", buffering=1 << 20) as file:
        number, left = 0, os.fstat(file.fileno()).st_size
        while header := file.read(_HEADER.size):
            where = f"{path}: record {number}"
            if len(header) < _HEADER.size:
                raise DamagedShardError(f"{where}: expected a header of {_HEADER.size} bytes, received {len(header)}")
            length, crc = _HEADER.unpack(header)
            if masked_crc(header[:8]) != crc:
                raise DamagedShardError(f"{where}: expected length checksum {masked_crc(header[:8])}, received {crc}")
            left -= _HEADER.size
            payload = file.read(min(length, left))  # a length may be absurd
            footer = file.read(_FOOTER.size)
            received = len(payload) + len(footer)
            left -= received
            if received < length + _FOOTER.size:
                raise DamagedShardError(f"{where}: expected {length + _FOOTER.size} bytes, received {received}")
            (crc,) = _FOOTER.unpack(footer)
            if masked_crc(payload) != crc:
                raise DamagedShardError(f"{where}: expected payload checksum {crc}, received {masked_crc(payload)}")
            if whole is not None:
                for part in (header, payload, footer):
                    whole.update(part)
            yield payload
            number += 1
