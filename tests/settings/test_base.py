"""Settings: refusals name key, expected and received; JSON goes out and comes back; files are whole or not there."""

import json
import math
import re

import pytest
from pydantic import ValidationError

from seis_tf.files import write_atomically, write_json
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import (
    RecordSettings,
    SpectrogramSettings,
    SplitSettings,
    WaveformJob,
    WaveformSourceSettings,
)
from seis_tf.settings.networks import CnnSettings, Conv1dSettings, MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob, learning_rate_at


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (RecordSettings, {"lenght_samples": 1024}, "lenght_samples"),
        (RecordSettings, {"bandpass_hz": (10.0, 2.0)}, r"expected 0 < low < high, received \(10.0, 2.0\)"),
        (RecordSettings, {"onset_sta_s": 2.0, "onset_lta_s": 1.0}, "less than onset_lta_s, received 2 s and 1 s"),
        (RecordSettings, {"resample_hz": float("nan")}, "resample_hz"),
        (SpectrogramSettings, {"nperseg": 20, "noverlap": 20}, "less than nperseg 20, received 20"),
        (SpectrogramSettings, {"nperseg": 200}, "nfft: expected at least nperseg 200, received 128"),
        (SplitSettings, {"valid_fraction": 0.5, "test_fraction": 0.5}, "expected less than 1, received 1"),
        (WaveformSourceSettings, {"group_pattern": "_[^_]+_"}, r"with a \(group\), received '_\[\^_\]\+_'"),
        (WaveformSourceSettings, {"group_pattern": "("}, r"expected a regular expression, received '\('"),
        (TrainingSettings, {"learning_rate": 0}, "learning_rate"),
        (TrainingSettings, {"optimizer": "rmsprop"}, "optimizer"),
        (TrainingSettings, {"seed": 2**31}, "seed"),
        (CnnSettings, {"stem": (0, 1)}, "stem"),
        (MlpSettings, {"hidden": (20, 0)}, "hidden"),
        (TrainJob, {"model": {"kind": "rnn"}}, "'mlp', 'cnn', 'conv1d'"),
        (TrainJob, {"model": {"kind": "mlp", "filters": (8,)}}, "filters"),
    ],
)
def test_what_is_wrong_is_refused_by_name(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind(**values)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        RecordSettings().length_samples = 5


@pytest.mark.parametrize(
    ("settings", "n_samples", "shape"),
    [
        # scipy.signal.spectrogram's shapes, from its definition: nfft // 2 + 1 frequencies; frames that fit whole.
        (SpectrogramSettings(), 1020, (65, 101)),
        (SpectrogramSettings(), 1029, (65, 101)),
        (SpectrogramSettings(), 1019, (65, 100)),
        (SpectrogramSettings(), 1030, (65, 102)),
        (SpectrogramSettings(nperseg=78, noverlap=39), 4000, (65, 101)),
        (SpectrogramSettings(nperseg=20, nfft=21), 20, (11, 1)),
    ],
)
def test_shape_of_a_spectrogram(settings, n_samples, shape):
    assert settings.shape(n_samples) == shape


def test_a_record_shorter_than_a_frame_has_no_shape():
    with pytest.raises(ValueError, match="at least nperseg 20 samples, received 19"):
        SpectrogramSettings().shape(19)


@pytest.mark.parametrize("model", [MlpSettings(hidden=(50, 2)), CnnSettings(), Conv1dSettings(widths=(4, 5))])
def test_a_job_comes_back_from_its_json(tmp_path, model):
    job = TrainJob(model=model, training=TrainingSettings(clip_norm=1.5, l2=1e-5))
    write_json(tmp_path / "job.json", job)
    assert load_settings(TrainJob, tmp_path / "job.json", {}) == job


def test_options_lie_over_the_file(tmp_path):
    write_json(tmp_path / "job.json", WaveformJob(record={"length_samples": 512, "anchor": "center"}))
    overrides = {"record.length_samples": 256, "record.anchor": None, "split.seed": 3}
    job = load_settings(WaveformJob, tmp_path / "job.json", overrides)
    assert (job.record.length_samples, job.record.anchor, job.split.seed) == (256, "center", 3)


def test_a_file_and_options_lie_over_a_base_that_stays_as_it_was(tmp_path):
    write_json(tmp_path / "job.json", {"training": {"epochs": 7}})
    base = {"model": {"kind": "mlp"}, "training": {"epochs": 20, "batch_size": 50}}
    job = load_settings(TrainJob, tmp_path / "job.json", {"training.l2": 0.5, "model.hidden": (3,)}, base)
    assert (job.training.epochs, job.training.batch_size, job.training.l2, job.model.hidden) == (7, 50, 0.5, (3,))
    assert base == {"model": {"kind": "mlp"}, "training": {"epochs": 20, "batch_size": 50}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"job\.json: expected a JSON object of settings, received Expecting property name"),
        (b"\xff\xfe", r"job\.json: expected a JSON object of settings, received"),
        (b"[1]", r"job\.json: expected a JSON object of settings, received .*list"),
        (b'{"record": {"lenght": 3}}', r"job\.json: record\.lenght: Extra inputs are not permitted, received 3"),
        (b'{"record": {"length_samples": 0}}', r"record\.length_samples: Input should be greater than 1, received 0"),
        (b'{"split": 5}', r"job\.json: split: Input should be a valid dictionary .*received 5"),
        (
            b'{"spectrogram": {"noverlap": 30}}',
            r"job\.json: spectrogram: noverlap: expected less than nperseg 20, received 30$",
        ),
    ],
)
def test_a_bad_file_is_named_with_key_and_value(tmp_path, content, message):
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_settings(WaveformJob, tmp_path / "job.json", {"record.anchor": "start"})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.json: expected a JSON object of settings"):
        load_settings(WaveformJob, tmp_path / "absent.json", {})


def test_a_bad_option_is_named():
    with pytest.raises(
        ValueError, match=r"--anchor: record\.anchor: .*'start', 'center' or 'onset', received 'middle'"
    ):
        load_settings(WaveformJob, None, {"record.anchor": "middle"})


def test_learning_rates_of_a_schedule():
    constant = TrainingSettings(learning_rate=0.1, epochs=5)
    assert [learning_rate_at(constant, e) for e in range(5)] == [0.1] * 5
    # Two epochs of warm-up go up in equal steps: 1/3, 2/3, then the rate itself.
    cosine = TrainingSettings(learning_rate=0.3, epochs=5, schedule="cosine", warmup_epochs=2, final_fraction=0.1)
    expected = [0.1, 0.2, 0.3, 0.3 * (0.1 + 0.9 / 2), 0.03]
    assert [learning_rate_at(cosine, e) for e in range(5)] == pytest.approx(expected)
    # Exponential: the same factor each epoch, 1/100 in all over 4 steps.
    exponential = TrainingSettings(learning_rate=1.0, epochs=5, schedule="exponential", final_fraction=0.01)
    rates = [learning_rate_at(exponential, e) for e in range(5)]
    assert rates == pytest.approx([1, math.sqrt(0.1), 0.1, 0.1 * math.sqrt(0.1), 0.01])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match=re.escape("Out of range float values are not JSON compliant")):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_atomically(path, "text, not bytes")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
