"""Batches of an epoch: every record once, in an order of seed and epoch alone, with companions of the member's own."""

import numpy as np
import pytest

from seis_tf.training.batches import epoch_batches
from seis_tf.training.inputs import Member

TRAIN = np.arange(42)


def member(train, seed):
    return Member(train, np.array([], int), seed)


def test_an_epoch_has_each_record_once():
    members = [np.arange(3, 13), np.arange(100, 121)]
    batches = epoch_batches([member(rows, seed) for rows, seed in zip(members, (1, 2), strict=True)], 0, 4, None)
    rows, present = batches.rows, batches.present
    assert rows.shape == present.shape == (6, 2, 4)  # 21 records: six batches of 4
    assert len(batches) == 6 and batches.companions is None
    for k, mine in enumerate(members):
        shown = rows[:, k][present[:, k] == 1]
        assert sorted(shown) == sorted(mine)
        assert present[:, k].sum() == len(mine)
    # Ten records are two full batches and one of two; the other three are empty.
    assert present[:, 0].sum(axis=1).tolist() == [4, 4, 2, 0, 0, 0]
    # Places that only fill up hold a record of the member, never one of another.
    assert set(rows[:, 0].ravel()) == set(members[0])


def test_the_order_follows_from_seed_and_epoch_alone():
    alone = epoch_batches([member(TRAIN, 3)], 5, 8, None).rows
    beside = epoch_batches([member(np.arange(50), 9), member(TRAIN, 3)], 5, 8, None).rows
    np.testing.assert_array_equal(beside[: len(alone), 1], alone[:, 0])
    for seed, epoch in ((4, 5), (3, 6)):
        assert (epoch_batches([member(TRAIN, seed)], epoch, 8, None).rows != alone).any()


def test_companions_come_from_the_members_own_training_rows():
    companions = np.array([1, 3, 5, 41, 42, 50, 59])
    members = [member(np.arange(20), 1), member(np.arange(20, 60), 2)]
    drawn = [epoch_batches(members, epoch, 8, companions).companions for epoch in range(4)]
    for rows in drawn:
        assert rows.shape == (5, 2, 8)
        assert set(rows[:, 0].ravel()) <= {1, 3, 5}
    assert set(np.concatenate(drawn)[:, 1].ravel()) == {41, 42, 50, 59}
    assert (drawn[0] != drawn[1]).any()


def test_companions_that_a_member_has_none_of_are_refused():
    message = "companions: expected some among the training records, received none for member 0"
    with pytest.raises(ValueError, match=message):
        epoch_batches([member(TRAIN, 1)], 0, 8, np.array([50]))


def test_a_part_of_an_epoch_keeps_its_numbers_and_members_can_be_left_out():
    whole = epoch_batches([member(TRAIN, 1), member(TRAIN[2:], 2)], 0, 8, TRAIN)
    part = whole.part(1, 4).part(1, 3)
    assert part.first_step == 2 and len(part) == 2
    for name in ("rows", "present", "companions"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[2:4])
    second = whole.of(np.array([False, True]))
    assert not second.present[:, 0].any() and second.present.dtype == np.float32
    np.testing.assert_array_equal(second.present[:, 1], whole.present[:, 1])
