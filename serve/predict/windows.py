"""Windows of waveforms [window, sample] -> a model's answers, one dict a window."""

from __future__ import annotations

import numpy as np

from seis_tf.evaluation.report.units import time_unit
from seis_tf.serve.predict.exported import Answer, Exported
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.waveforms import loading
from seis_tf.waveforms.spectrograms import spectrograms
from seis_tf.waveforms.windows import NEARLY_ALL


def none_usable(names: list[str], reason: str) -> str:
    """The message where no record can be used: that of the first one."""
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    hint = "; resampling has to be asked for" if " Hz, received" in reason else ""
    return f"{names[0]}: {reason}{hint}{more}"


def ask_about(exported: Exported, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Answers for windows [window, sample] that are detrended, filtered and resampled as in training."""
    metadata = exported.metadata
    if metadata["preprocessing"]["same_as_training"]:
        return exported.ask("serving_default", waveform=samples)
    # The graph filters windows; these were filtered as whole traces, as the training records were.
    settings = SpectrogramSettings.model_validate(metadata["preprocessing"]["spectrogram"])
    return exported.ask("spectrogram", spectrogram=spectrograms(samples, settings, metadata["sampling_rate_hz"]))


def use_of(loaded: loading.Waveforms, row: int) -> Answer:
    """How much of a record was judged: `record_s`, `used_s`, and a `note` where it is not (nearly) all."""
    rate_hz, used = loaded.sampling_rate_hz, loaded.samples.shape[1]
    record_s, used_s = int(loaded.record_samples[row]) / rate_hz, used / rate_hz
    use: Answer = {"record_s": record_s, "used_s": used_s}
    if used < NEARLY_ALL * loaded.record_samples[row]:
        unit, seconds = time_unit(record_s)
        of, first = record_s / seconds, int(loaded.first_sample[row]) / rate_hz / seconds
        use["note"] = f"judged by {used_s / seconds:.4g} of {of:.4g} {unit}, from {first:.4g} {unit} on"
    return use


def answer_of(classes: list[str], answer: dict[str, np.ndarray], row: int | None, reason: str | None) -> Answer:
    """The answer for one window, from the model's outputs for several.

    Args:
        classes: names of the classes.
        answer: outputs [window, ..] by name.
        row: of this window; None where the model was not asked about it.
        reason: why it was not.
    """
    if row is None:
        return {"valid": False, "class_name": "", "probabilities": {}, "reason": reason}
    one: Answer = {
        "valid": bool(answer["valid"][row]),
        "class_name": answer["class_name"][row].decode(),
        "probabilities": dict(zip(classes, answer["probabilities"][row].tolist(), strict=True)),
    }
    if "spread" in answer:
        one["spread"] = dict(zip(classes, answer["spread"][row].tolist(), strict=True))
    if not one["valid"]:
        # Graphs exported before they gave a reason have the same one for all records.
        one["reason"] = (
            answer["reason"][row].decode()
            if "reason" in answer
            else "expected samples that the model can judge, received ones beyond float32 or constant"
        )
    return one
