"""The features of a stored DART event."""

from __future__ import annotations

from seis_tf.dataset.examples import Feature


def dart_features(
    n_minutes: int, n_buoys: int, n_sources: int, truth_shape: tuple[int, int] | None = None
) -> list[Feature]:
    """Features of a DART record: water level in m, mask (1 where there is a sample), slip in m, the wave to come."""
    features = [
        Feature(name="water_level_m", dtype="float32", shape=(n_minutes, n_buoys)),
        Feature(name="mask", dtype="float32", shape=(n_minutes, n_buoys)),
        Feature(name="weights_m", dtype="float32", shape=(n_sources,)),
        Feature(name="mw", dtype="float32"),
        Feature(name="group", dtype="string"),
        Feature(name="record_id", dtype="string"),
    ]
    if truth_shape is not None:
        features.append(Feature(name="truth_m", dtype="float32", shape=truth_shape))
    return features
