"""The features of a stored waveform record."""

from __future__ import annotations

from seis_tf.dataset.examples import Feature


def waveform_features(
    spectrogram_shape: tuple[int, int], n_samples: int | None, sampling_rate_hz: float | None
) -> list[Feature]:
    """Features of a waveform record.

    Args:
        spectrogram_shape: [frequency, time].
        n_samples: samples of the waveform; None where the source holds spectrograms only.
        sampling_rate_hz: unused where there are no waveforms.
    """
    features = [Feature(name="spectrogram", dtype="float32", shape=spectrogram_shape)]
    if n_samples is not None and sampling_rate_hz is not None:
        features.append(Feature(name="waveform", dtype="float32", shape=(n_samples,)))
    return features + [
        Feature(name="label", dtype="int64"),
        Feature(name="group", dtype="string"),
        Feature(name="record_id", dtype="string"),
        Feature(name="station", dtype="string"),
        Feature(name="snr_db", dtype="float32"),
        Feature(name="peak_amplitude", dtype="float32"),
        Feature(name="clipped", dtype="int64"),
    ]
