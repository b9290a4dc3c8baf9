"""The TFRecord container, against TensorFlow's own writer and reader, and with damage in each of its regions."""

import struct

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dataset.tfrecords import DamagedShardError, Writer, masked_crc, read_records

PAYLOADS = [b"first", b"", bytes(range(256)) * 5]


@pytest.fixture
def shard(tmp_path):
    """A file of the three payloads, written by this package, and its writer."""
    path = tmp_path / "a.tfrecord"
    with open(path, "wb") as file:
        writer = Writer(file)
        for payload in PAYLOADS:
            writer.write(payload)
    return path, writer


def test_records_written_together_are_those_written_one_by_one(tmp_path, shard):
    with open(tmp_path / "together", "wb") as file:
        writer = Writer(file)
        writer.write_all(PAYLOADS)
        writer.write_all([])
    assert (tmp_path / "together").read_bytes() == shard[0].read_bytes()
    assert (writer.bytes, writer.crc32c()) == (shard[1].bytes, shard[1].crc32c())


def test_tensorflow_reads_what_is_written(shard):
    path, writer = shard
    assert [p.numpy() for p in tf.data.TFRecordDataset(str(path))] == PAYLOADS
    # Eight bytes of length and two checksums of four around each payload.
    assert writer.bytes == path.stat().st_size == sum(16 + len(p) for p in PAYLOADS)
    assert writer.crc32c() == f"{google_crc32c.value(path.read_bytes()):08x}"


def test_what_tensorflow_writes_is_read_and_has_the_same_bytes(tmp_path, shard):
    theirs = tmp_path / "b.tfrecord"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert list(read_records(theirs)) == PAYLOADS
    assert theirs.read_bytes() == shard[0].read_bytes()


def test_masked_checksum_of_a_known_text():
    # CRC-32C of "123456789" is 0xe3069283 (RFC 3720's polynomial); rotated right by 15 bits it is 0x2507c60d
    # (0xe3069283 >> 15 = 0x1c60d, its low 15 bits 0x1283 << 17 = 0x25060000), and 0xa282ead8 more is 0xc78ab0e5.
    assert google_crc32c.value(b"123456789") == 0xE3069283
    assert masked_crc(b"123456789") == 0xC78AB0E5


# Record 1 is empty and begins after the 16 + 5 bytes of record 0; record 2 after 16 more, with its payload 12 bytes on.
@pytest.mark.parametrize(
    ("position", "record", "message"),
    [
        (0, 0, "expected length checksum"),
        (9, 0, "expected length checksum"),
        (12, 0, "expected payload checksum"),
        (18, 0, "expected payload checksum"),
        (21, 1, "expected length checksum"),
        (34, 1, "expected payload checksum"),
        (37 + 12 + 700, 2, "expected payload checksum"),
        (-1, 2, "expected payload checksum"),
    ],
)
def test_a_flipped_bit_is_named_with_file_and_record(shard, position, record, message):
    path, _ = shard
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)
    good = []
    with pytest.raises(DamagedShardError, match=rf"a\.tfrecord: record {record}: {message} \d+, received \d+"):
        good.extend(read_records(path))
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (5, "record 0: expected a header of 12 bytes, received 5"),
        (12 + 3, "record 0: expected 9 bytes, received 3"),
        (21 + 12, "record 1: expected 4 bytes, received 0"),
        (37 + 13, "record 2: expected 1284 bytes, received 1"),
    ],
)
def test_a_file_that_ends_early_is_named_with_what_is_missing(shard, kept, message):
    path, _ = shard
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DamagedShardError, match=message):
        list(read_records(path))


def test_a_tail_is_not_taken_for_a_record(shard):
    path, _ = shard
    path.write_bytes(path.read_bytes() + b"\0" * 12)
    with pytest.raises(DamagedShardError, match="record 3: expected length checksum"):
        list(read_records(path))


def test_an_absurd_length_with_a_right_checksum_is_no_allocation(tmp_path):
    length = struct.pack("<Q", 1 << 60)
    path = tmp_path / "huge.tfrecord"
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"abc")
    with pytest.raises(DamagedShardError, match=r"record 0: expected \d+ bytes, received 3"):
        list(read_records(path))


def test_records_of_random_sizes_come_back(tmp_path):
    random = np.random.default_rng(3)
    payloads = [random.bytes(int(n)) for n in random.integers(0, 3000, 50)]
    with open(tmp_path / "a", "wb") as file:
        writer = Writer(file)
        for payload in payloads:
            writer.write(payload)
    assert list(read_records(tmp_path / "a")) == payloads
    assert list(tf.data.TFRecordDataset(str(tmp_path / "a")).as_numpy_iterator()) == payloads
