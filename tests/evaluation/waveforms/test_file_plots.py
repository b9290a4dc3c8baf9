"""What `plot` draws of single files."""

import numpy as np
import obspy
import pytest

from seis_tf.evaluation.waveforms.file_plots import frames_of, plot_files


def written(path, samples, rate=100.0, **header):
    stream = obspy.Stream(
        [obspy.Trace(s, {"sampling_rate": rate, "station": f"S{i}"} | header) for i, s in enumerate(samples)]
    )
    stream.write(str(path), format="MSEED")
    return path


def test_every_trace_of_every_file_is_drawn(tmp_path):
    random = np.random.default_rng(0)
    two = written(tmp_path / "two.mseed", random.normal(size=(2, 1024)).astype(np.float32))
    one = tmp_path / "one.sac"
    obspy.Trace(random.normal(size=300).astype(np.float32), {"sampling_rate": 50.0}).write(str(one), format="SAC")
    page, *pictures = plot_files([two, one], tmp_path / "new" / "out")
    assert [p.stem for p in pictures] == [
        f"{name}{suffix}" for name in ("file_001_01", "file_001_02", "file_002_01") for suffix in ("", "_spectrum")
    ]
    assert all(path.is_file() for path in (page, *pictures))
    text = page.read_text()
    assert "3 traces" in text and "1,024 samples at 100 Hz" in text and "300 samples at 50 Hz" in text


def test_frames_are_the_exercises_at_its_length_and_grow_with_the_trace():
    assert (frames_of(1024, "x").nperseg, frames_of(1024, "x").noverlap, frames_of(1024, "x").nfft) == (20, 10, 128)
    long = frames_of(100_000, "x")  # 100,000 / 50 = 2,000 samples a frame; 2,048 is the next power of two
    assert (long.nperseg, long.noverlap, long.nfft) == (2000, 1000, 2048)
    assert long.shape(100_000) == (1025, 99)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.arange(19, dtype=np.float32), "short.mseed: expected at least 20 samples, received 19"),
        (np.full(64, np.nan, np.float32), "short.mseed: expected finite samples, received 64 others"),
    ],
)
def test_traces_that_can_not_be_drawn_are_named(tmp_path, samples, message):
    path = written(tmp_path / "short.mseed", samples[None])
    with pytest.raises(ValueError, match=message):
        plot_files([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "text.mseed").write_text("hello")
    with pytest.raises(ValueError, match="text.mseed: expected"):
        plot_files([tmp_path / "text.mseed"], tmp_path / "out")
