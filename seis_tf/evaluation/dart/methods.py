"""All that answers a window with slip: the network, least squares in its kinds, and what needs no record at all.

Strengths of smoothing and of the pull towards the network are chosen on validation events, by the waves at the gauges
that lie ahead; never on test events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from seis_tf.dart import inversion
from seis_tf.dart.inversion import Choice
from seis_tf.dart.unit_sources import GreensFunctions, magnitude
from seis_tf.evaluation.dart.draws import member_magnitudes
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.runs import Run

NETWORK = "network"
TRUE_SLIP = "true_slip"  # compared with the answers where the true waves are not made of it
_ALONE = 10  # events that are answered one by one for the time that one event takes
_BLOCK = 1024  # events in one call of the network

# [event, minute, buoy] levels, and a mask of the same shape -> slip of each member [member, event, source].
Network = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Methods:
    """Ready to answer windows.

    Attributes:
        network: see `Network`.
        matrix: [minute, buoy, source], for least squares.
        source_names: order of the sources.
        area_m2: [source].
        smoothing: strength of the smoothed NNLS; None where there was nothing to choose it on.
        pull: strength of the hybrid, likewise.
        whitening: of the network's errors, for the hybrid.
        mean_m: [source], mean of the training weights; None where they are not at hand.
    """

    network: Network
    matrix: np.ndarray
    source_names: Sequence[str]
    area_m2: np.ndarray
    smoothing: Choice | None = None
    pull: Choice | None = None
    whitening: np.ndarray | None = None
    mean_m: np.ndarray | None = None

    def answer(self, level_m: np.ndarray, mask: np.ndarray) -> Answers:
        """Slip of each method for windows [event, minute, buoy]."""
        members = self.network(level_m, mask)
        found = {NETWORK: members.mean(axis=0, dtype=np.float64)}
        if self.pull is not None:
            found["hybrid"] = self._hybrid(level_m, mask, found[NETWORK])
        if self.smoothing is not None:
            found["smoothed_nnls"] = self._smoothed(level_m, mask)
        found["nnls"] = inversion.nnls(self.matrix, level_m, mask)
        if self.mean_m is not None:
            found["mean"] = np.tile(self.mean_m, (len(level_m), 1))
        found["zero"] = np.zeros_like(found[NETWORK])
        mw = {name: magnitude(weights, self.area_m2) for name, weights in found.items()}
        # As an exported ensemble answers: the mean of the magnitudes of its members that have slip.
        mw[NETWORK] = member_magnitudes(members, self.area_m2).mean(axis=0)
        return Answers(members, found, mw)

    def chosen_on(self, valid: Windows, greens: GreensFunctions) -> Methods:
        """The same with strengths chosen on these events.

        Args:
            valid: validation events.
            greens: functions of the gauges of `valid.true`.
        """
        far, true = valid.true.far_columns, valid.true
        ahead = greens.select(gauges=true.far)
        score = _score(ahead, true.waves_m[:, :, far], true.window_min)
        prior = self.network(valid.level_m, valid.mask).mean(axis=0, dtype=np.float64)
        whitening = inversion.error_whitening(valid.weights_m, prior)
        window = (self.matrix, valid.level_m)
        smoothing = inversion.choose_smoothing(*window, self.source_names, score, valid.mask)
        pull = inversion.choose_pull(*window, prior, score, valid.mask, whitening)
        return replace(self, smoothing=smoothing, pull=pull, whitening=whitening)

    def seconds(self, level_m: np.ndarray, mask: np.ndarray) -> dict[str, dict[str, float]]:
        """What an answer costs: name of a method to seconds an event, `batch` of all together and `alone`."""
        prior = self.network(level_m, mask).mean(axis=0, dtype=np.float64)  # also compiles, which is not counted
        calls: dict[str, Callable[[slice], object]] = {
            NETWORK: lambda rows: self.network(level_m[rows], mask[rows]),
            "nnls": lambda rows: inversion.nnls(self.matrix, level_m[rows], mask[rows]),
        }
        if self.smoothing is not None:
            calls["smoothed_nnls"] = lambda rows: self._smoothed(level_m[rows], mask[rows])
        if self.pull is not None:
            calls["hybrid"] = lambda rows: self._hybrid(level_m[rows], mask[rows], prior[rows])
        found = {}
        for name, call in calls.items():
            alone = [_timed(call, slice(event, event + 1)) for event in range(min(_ALONE, len(level_m)))]
            together = _timed(call, slice(None)) / len(level_m)
            found[name] = {"batch": together, "alone": float(np.median(alone))}
        if "hybrid" in found:  # the network comes first
            found["hybrid"] = {kind: s + found[NETWORK][kind] for kind, s in found["hybrid"].items()}
        return found

    def _smoothed(self, level_m: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return inversion.smoothed_nnls(self.matrix, level_m, self.source_names, self.smoothing.strength, mask)

    def _hybrid(self, level_m: np.ndarray, mask: np.ndarray, prior_m: np.ndarray) -> np.ndarray:
        return inversion.hybrid(self.matrix, level_m, prior_m, self.pull.strength, mask, self.whitening)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the methods said of some events.

    Attributes:
        members: [member, event, source], of the network.
        weights_m: name of a method to [event, source].
        mw: likewise to [event]; minus infinity or 0 where there is no slip.
    """

    members: np.ndarray
    weights_m: dict[str, np.ndarray]
    mw: dict[str, np.ndarray]


def network_of(run: Run) -> Network:
    """A run's network as a function of levels and masks, compiled: one event costs what it costs when served."""
    model = run.model
    specs = [tf.TensorSpec((None, *value.shape[1:]), tf.float32) for value in model.inputs]
    compiled = tf.function(
        lambda *inputs: model(inputs if len(inputs) > 1 else inputs[0], training=False), input_signature=specs
    )

    def answer(level_m: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = [np.where(mask, level_m, 0).astype(np.float32), mask.astype(np.float32)][: len(specs)]
        starts = range(0, len(level_m), _BLOCK)
        outputs = np.concatenate([compiled(*(v[i : i + _BLOCK] for v in inputs)).numpy() for i in starts])
        return outputs.swapaxes(0, 1) if run.members > 1 else outputs[None]

    return answer


def _score(ahead: GreensFunctions, waves_m: np.ndarray, window_min: int) -> Callable[[np.ndarray], float]:
    """As `inversion.forecast_score`, for a truth that may end before the Green's functions do."""
    shorter = replace(ahead, time_min=ahead.time_min[: waves_m.shape[1]], eta_m=ahead.eta_m[..., : waves_m.shape[1]])
    return inversion.forecast_score(shorter, waves_m, window_min)


def _timed(call: Callable[[slice], object], rows: slice) -> float:
    started = time.perf_counter()
    call(rows)
    return time.perf_counter() - started
