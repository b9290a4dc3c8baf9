"""What an export must pass: each kind of fault that the check is for fails it, and a right export passes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dataset import shards, tfrecords
from seis_tf.serve.export import check, warmup
from seis_tf.serve.export.check_waveforms import compare_powers
from seis_tf.serve.export.signature import Field, Signature


def _double(x):
    return {"y": 2 * x}


DOUBLE = Signature(
    _double, (Field("x", "float32", (None, 4), "m", "anything"),), (Field("y", "float32", (None, 4), "m", "twice it"),)
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A SavedModel that doubles, with its warm-up file."""
    folder = tmp_path_factory.mktemp("check") / "1"
    tf.saved_model.save(tf.Module(), str(folder), signatures={"double": DOUBLE.traced().get_concrete_function()})
    (folder / "assets.extra").mkdir()
    assert warmup.write_warmup(folder / "assets.extra" / warmup.FILE, "toy", {"double": DOUBLE}) == len(
        warmup.BATCH_SIZES
    )
    return folder


@pytest.mark.parametrize(
    ("received", "passed"), [([1.0, 2.0], True), ([1.0, 2.000001], False), ([1.0, np.nan], False), ([1.0], False)]
)
def test_a_comparison_fails_for_what_is_too_far_nan_or_of_another_shape(received, passed):
    report = check.Report(records=2)
    report.compare("numbers", np.array(received), np.array([1.0, 2.0]), 1e-7)
    assert report.passed is passed
    assert report.describe()["passed"] is passed


def test_signatures_are_compared_by_name_shape_and_type(saved):
    loaded = tf.saved_model.load(str(saved))
    good, bad = check.Report(0), check.Report(0)
    check.check_signatures(good, loaded, {"double": DOUBLE})
    assert good.passed
    wrong = Signature(_double, DOUBLE.inputs, (Field("y", "float32", (None, 5), "", ""),))
    check.check_signatures(bad, loaded, {"triple": DOUBLE, "double": wrong})
    missing, other = bad.results
    assert missing["detail"] == "expected it, received ['double']"
    assert "expected [{'x': ('float32', (None, 4))}, {'y': ('float32', (None, 5))}]" in other["detail"]
    assert "{'y': ('float32', (None, 4))}]" in other["detail"]


def test_every_request_of_the_warm_up_file_is_answered(saved):
    loaded = tf.saved_model.load(str(saved))
    path = saved / "assets.extra" / warmup.FILE
    assert warmup.replay(path, loaded) == len(warmup.BATCH_SIZES)


def test_the_warm_up_file_is_what_tensorflow_serving_reads(saved):
    """Read by TensorFlow and the published messages."""
    from tensorflow_serving.apis import prediction_log_pb2

    sizes = []
    for record in tf.data.TFRecordDataset(str(saved / "assets.extra" / warmup.FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == ("toy", "double")
        sizes.append(request.inputs["x"].tensor_shape.dim[0].size)
    assert tuple(sizes) == warmup.BATCH_SIZES


def test_a_warm_up_file_that_is_damaged_or_for_another_model_is_refused(saved, tmp_path):
    loaded = tf.saved_model.load(str(saved))
    content = (saved / "assets.extra" / warmup.FILE).read_bytes()
    (tmp_path / "damaged").write_bytes(content[:-3])
    with pytest.raises(tfrecords.DamagedShardError, match="record 5"):
        warmup.replay(tmp_path / "damaged", loaded)
    warmup.write_warmup(tmp_path / "other", "toy", {"triple": DOUBLE})
    with pytest.raises(ValueError, match=r"other: record 0: expected one of \['double'\], received 'triple'"):
        warmup.replay(tmp_path / "other", loaded)


def test_latency_is_measured_for_one_record_and_for_a_batch(saved):
    measured = check.latency_ms(tf.saved_model.load(str(saved)), {"double": DOUBLE})
    assert set(measured["double"]) == {"first", "warm_1", "warm_32"}
    assert all(value > 0 for value in measured["double"].values())


def test_an_empty_batch_that_is_answered_is_a_fault(saved):
    report = check.Report(0)
    loaded = tf.saved_model.load(str(saved))
    check.check_empty(report, loaded.signatures["double"], DOUBLE)
    assert report.results == [{"name": "empty batch is refused", "passed": False, "detail": "it was answered"}]


def _powers() -> np.ndarray:
    """Powers from 1e-12 to 1 of the largest."""
    return 100 * 10.0 ** np.linspace(-12, 0, 60).reshape(1, 10, 6)


@pytest.mark.parametrize(
    ("factor", "where", "failing"),
    [
        (1.0, slice(None), []),
        (1 + 2e-5, -1, ["power over the largest"]),  # more than 1e-5 of the largest, 9e-6 decades
        (1.005, 30, ["log10"]),  # 2.2e-3 decades, and 1e-6 of the largest in power
        (1.005, 1, []),  # below 2e-7 of the largest there is no limit for the logarithm
    ],
)
def test_power_and_logarithm_have_limits_of_their_own(factor, where, failing):
    expected, report = _powers(), check.Report(1)
    received = expected.copy()
    received.reshape(-1)[where] *= factor
    compare_powers(report, "test", received, expected, None, 20)
    assert [result["name"] for result in report.results if not result["passed"]] == [
        f"test, {name}" for name in failing
    ]


def test_powers_that_the_floor_raised_are_compared_as_such():
    expected, report = _powers(), check.Report(1)
    floored = np.log10(np.maximum(expected, 1e-4 * expected.max())).astype(np.float32)
    compare_powers(report, "test", floored, expected, 1e-4, 20)
    assert report.passed
    compare_powers(report, "test", np.log10(expected).astype(np.float32), expected, 1e-4, 20)
    assert not report.passed  # without the floor


def test_records_of_the_test_split_come_as_stored_and_decoded(tiny_waveforms):
    info = shards.load_dataset(tiny_waveforms)
    records = check.load_test_records(tiny_waveforms, count=7)
    stored = list(shards.iterate(tiny_waveforms, info, "test"))[:7]
    assert len(records.payloads) == 7
    np.testing.assert_array_equal(records.columns["waveform"], [record["waveform"] for record in stored])
