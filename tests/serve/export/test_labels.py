"""Which versions a server loads under which labels: the file that TensorFlow Serving polls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from seis_tf.serve.export import labels
from seis_tf.serve.export.warmup import BATCH_SIZES


@pytest.fixture
def models(tmp_path) -> Path:
    """MODELS with three versions of `lab` and one of `dart`, nothing published."""
    for place in ("lab/1", "lab/2", "lab/3", "dart/1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "saved_model.pb").touch()
    return tmp_path


def _config(models: Path) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse((models / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())


def test_a_published_version_is_stable_and_loaded_by_its_number(models):
    assert labels.publish(models, "lab", 1) == {"stable": 1}
    expected = """
        model_config_list { config {
            name: "lab" base_path: "/models/lab" model_platform: "tensorflow"
            model_version_policy { specific { versions: 1 } }
            version_labels { key: "stable" value: 1 }
        } }"""
    assert _config(models) == text_format.Parse(expected, model_server_config_pb2.ModelServerConfig())


def test_canary_promote_and_rollback(models):
    labels.publish(models, "lab", 1)
    assert labels.publish(models, "lab", 2, "canary") == {"stable": 1, "canary": 2}
    # Without a policy TensorFlow Serving loads only the latest version: both must be named.
    assert list(_config(models).model_config_list.config[0].model_version_policy.specific.versions) == [1, 2]
    assert labels.promote(models, "lab") == {"stable": 2, "previous": 1}
    assert list(_config(models).model_config_list.config[0].model_version_policy.specific.versions) == [1, 2]
    assert labels.publish(models, "lab", 3, "canary") == {"stable": 2, "previous": 1, "canary": 3}
    assert labels.rollback(models, "lab") == {"stable": 1, "canary": 3}
    assert labels.withdraw(models, "lab") == {"stable": 1}
    assert list(_config(models).model_config_list.config[0].model_version_policy.specific.versions) == [1]


def test_a_new_stable_version_keeps_the_one_before(models):
    labels.publish(models, "lab", 1)
    labels.publish(models, "lab", 2)
    assert labels.publish(models, "lab", 3) == {"stable": 3, "previous": 2}
    assert labels.publish(models, "lab", 3) == {"stable": 3, "previous": 2}  # repeating changes nothing
    assert labels.rollback(models, "lab") == {"stable": 2}


def test_models_do_not_touch_each_other(models):
    labels.publish(models, "lab", 1)
    labels.publish(models, "dart", 1)
    labels.publish(models, "lab", 2, "canary")
    assert labels.labels_of(models, "dart") == {"stable": 1}
    assert [entry.name for entry in _config(models).model_config_list.config] == ["lab", "dart"]


def test_what_a_user_wrote_into_the_file_stays(models):
    (models / "models.config").write_text(
        'model_config_list { config { name: "lab" base_path: "/mnt/lab" model_version_policy { latest {} }'
        '  logging_config { sampling_config { sampling_rate: 0.5 } } }'
        '  config { name: "theirs" base_path: "/mnt/theirs" } }'
    )  # fmt: skip
    labels.publish(models, "lab", 2)
    lab, theirs = _config(models).model_config_list.config
    assert (lab.base_path, lab.logging_config.sampling_config.sampling_rate) == ("/mnt/lab", 0.5)
    assert lab.model_version_policy.WhichOneof("policy_choice") == "specific"
    assert theirs.base_path == "/mnt/theirs"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda models: labels.promote(models, "lab"), r"lab: expected a canary to promote, received labels {'stable'"),
        (lambda models: labels.rollback(models, "lab"), r"lab: expected a previous version, received labels {'stable'"),
        (lambda models: labels.withdraw(models, "lab"), r"lab: expected a canary, received labels {'stable'"),
        (lambda models: labels.promote(models, "other"), r"other: expected a canary to promote, received labels {}"),
        (lambda models: labels.publish(models, "lab", 9), r"expected version 9 for label stable, received none there"),
        (lambda models: labels.publish(models, "lab", 2, "beta"), r"label: expected stable or canary, received 'beta'"),
        (lambda models: labels.publish(models, "lab", 2, "previous"), r"label: expected stable or canary"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_written(models, action, message):
    labels.publish(models, "lab", 1)
    before = (models / "models.config").read_bytes()
    with pytest.raises(ValueError, match=message):
        action(models)
    assert (models / "models.config").read_bytes() == before


def test_a_version_that_was_deleted_is_not_rolled_back_to(models):
    labels.publish(models, "lab", 1)
    labels.publish(models, "lab", 2)
    (models / "lab" / "1" / "saved_model.pb").unlink()
    with pytest.raises(ValueError, match="lab: expected version 1 for label stable, received none there"):
        labels.rollback(models, "lab")


def test_a_broken_config_is_named(models):
    (models / "models.config").write_text("model_config_list { what: 1 }")
    with pytest.raises(ValueError, match=r"models\.config: expected a ModelServerConfig as text, received .*what"):
        labels.publish(models, "lab", 1)


def test_the_file_is_replaced_whole(models, monkeypatch):
    labels.publish(models, "lab", 1)
    before = (models / "models.config").read_bytes()

    def die(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", die)
    with pytest.raises(OSError, match="no space"):
        labels.publish(models, "lab", 2)
    assert (models / "models.config").read_bytes() == before
    assert not list(models.glob(".models.config*"))


def test_the_server_files_name_each_other_and_are_not_overwritten(models):
    (models / "batching.config").write_text("max_batch_size { value: 8 }\n")
    labels.write_server_files(models)
    assert (models / "batching.config").read_text() == "max_batch_size { value: 8 }\n"
    # As exports wrote it before, with a limit of 32 records for a request, which was not intended.
    lines = ["# Single requests that come within 2 ms are answered as one batch.", "max_batch_size { value: 32 }"]
    lines += ["batch_timeout_micros { value: 2000 }", "max_enqueued_batches { value: 128 }"]
    lines += ["num_batch_threads { value: 4 }", *(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)]
    (models / "batching.config").write_text("\n".join(lines) + "\n")
    labels.write_server_files(models)
    assert (models / "batching.config").read_text() == labels.server_files()["batching.config"]
    compose = (models / "compose.yaml").read_text()
    for file in ("models.config", "batching.config", "monitoring.config"):
        assert compose.count(f"=/models/{file}") == 2  # once for compose, once for docker run
    assert '".:/models:ro"' in compose and "--allow_version_labels_for_unavailable_models=true" in compose
    # The message's fields by the published monitoring_config.proto, which no package contains.
    monitoring = (models / "monitoring.config").read_text()
    assert monitoring == 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


def test_batches_are_padded_to_sizes_that_the_warm_up_knows():
    batching = labels.server_files()["batching.config"]
    *allowed, last = [int(size) for size in re.findall(r"allowed_batch_sizes: (\d+)", batching)]
    assert allowed == list(BATCH_SIZES)
    # Of SavedModelBundleFactoryTest.Batching: requests up to max_batch_size are taken, calls are of the other size.
    assert "enable_large_batch_splitting { value: true }" in batching
    assert f"max_execution_batch_size {{ value: {allowed[-1]} }}" in batching
    # WrapSessionForBatching: no start unless the largest allowed size is max_batch_size.
    assert f"max_batch_size {{ value: {last} }}" in batching
    # SharedBatchScheduler: more records than the queue's batches hold can never be taken.
    assert last == 128 * allowed[-1] and "max_enqueued_batches { value: 128 }" in batching
