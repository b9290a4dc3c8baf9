"""What `plot` draws of a data set, on the tiny ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seis_tf.evaluation.plots import plot_dataset


def test_a_waveform_data_set_is_drawn(tiny_waveforms, tmp_path):
    paths = plot_dataset(tiny_waveforms, tmp_path / "new" / "figures", per_class=2)
    page, *pictures = paths
    assert page.name == "report.html" and all(path.is_file() for path in paths)
    examples = [f"example_{name}_{i:02d}" for name in ("AE", "UP", "noise") for i in (1, 2)]
    spectra = [f"spectrum_{name}" for name in ("AE", "UP", "noise")]
    assert [p.stem for p in pictures] == [*examples, "low_snr", "low_snr_spectrum", *spectra, "peak_amplitude"]
    text = page.read_text()
    assert "108 records of 36 events: AE, UP and noise, as spectrograms of 8 x 9 from records at 100 Hz." in text
    assert "Simulated data" in text and "Ungrouped" not in text


def test_only_training_records_are_shown(tiny_waveforms, tmp_path):
    from seis_tf.dataset import shards

    text = plot_dataset(tiny_waveforms, tmp_path)[0].read_text()
    info = shards.load_dataset(tiny_waveforms)
    for split in ("valid", "test"):
        for record in shards.iterate(tiny_waveforms, info, split):
            assert record["record_id"] not in text


def test_the_weak_record_is_the_one_with_the_lowest_snr_that_is_no_noise(tiny_records, write_waveforms, tmp_path):
    records = tiny_records()
    for k, record in enumerate(records):
        record.values["snr_db"] = float(k) if record.label != 2 else -50.0
    write_waveforms(tmp_path / "data", records)
    from seis_tf.dataset import shards

    info = shards.load_dataset(tmp_path / "data")
    train = [r for r in shards.iterate(tmp_path / "data", info, "train") if r["label"] != 2]
    weakest = min(train, key=lambda r: r["snr_db"])
    text = plot_dataset(tmp_path / "data", tmp_path / "out", per_class=1)[0].read_text()
    section = text[text.index("<h2>A weak record") : text.index("<h2>Signal against noise")]
    assert f"{weakest['record_id']}, event {weakest['group']}, SNR {weakest['snr_db']:.0f} dB" in section


def test_a_buoy_data_set_is_drawn(tiny_dart, tmp_path):
    page, *pictures = plot_dataset(tiny_dart, tmp_path, per_class=2)
    assert [p.stem for p in pictures] == ["window_01", "window_02"]
    text = page.read_text()
    assert "60 earthquakes at buoys 46404 and 46407, with the slip on 3 unit sources." in text


def test_records_without_events_are_said_to_be(tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "data", tiny_records(), grouped=False, simulated=False)
    text = plot_dataset(tmp_path / "data", tmp_path / "out", per_class=1)[0].read_text()
    assert "Ungrouped" in text and "Simulated data" not in text


def test_no_examples_are_refused(tiny_waveforms, tmp_path):
    with pytest.raises(ValueError, match="per_class: expected at least 1, received 0"):
        plot_dataset(tiny_waveforms, tmp_path, per_class=0)


def test_plotting_needs_no_tensorflow():
    code = "import sys, seis_tf.evaluation.plots; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
