"""The chief's side of KerasTuner's protocol: who was heard of when, and whose trial goes to another worker."""

from __future__ import annotations

import time

import keras_tuner as kt

from seis_tf.tuning import oracles
from seis_tf.tuning.oracles import OracleServicer, Trial, protos, synchronized

_LOST_WORKERS = 3  # a trial that was lost with so many is what ends them (by its size in memory, say)


class Chief(OracleServicer):
    """KerasTuner's servicer, which also remembers when each worker was last heard of.

    Args:
        oracle: of the search.
        timeout_s: silence after which a worker counts as gone.
    """

    def __init__(self, oracle: kt.Oracle, timeout_s: float):
        super().__init__(oracle)
        self.timeout_s = timeout_s
        self.heard: dict[str, float] = {}
        self.given_back: list[str] = []
        self.closing = False

    def CreateTrial(self, request, context):
        """A trial; "wait" and not "stop" while others run, whose trials this worker may have to take over."""
        self._hear(request.tuner_id)
        if self.closing and request.tuner_id not in self.oracle.ongoing_trials:
            return _answer("STOPPED")
        response = super().CreateTrial(request, context)
        unfinished = self.oracle.ongoing_trials or oracles.waiting(self.oracle)
        stopped = Trial.from_proto(response.trial).status == "STOPPED"
        return _answer("IDLE") if stopped and unfinished and not self.closing else response

    def GetTrial(self, request, context):
        """Also a worker's sign of life: it asks for the trial that it is running."""
        self._check_known(request.trial_id)
        for tuner_id, trial in list(self.oracle.ongoing_trials.items()):
            if trial.trial_id == request.trial_id:
                self._hear(tuner_id)
        return super().GetTrial(request, context)

    def UpdateTrial(self, request, context):
        """Scores of a trial; those of a trial that has ended are not taken."""
        if self._check_known(request.trial_id).status in oracles.ENDED:
            return protos.get_service().UpdateTrialResponse(trial=self.oracle.trials[request.trial_id].to_proto())
        return super().UpdateTrial(request, context)

    def EndTrial(self, request, context):
        """Takes a result once: a trial that was given to another worker in the meantime counts as it ended first."""
        if self._check_known(request.trial.trial_id).status in oracles.ENDED:
            return protos.get_service().EndTrialResponse()
        response = super().EndTrial(request, context)
        _locked_settle(self.oracle, request.trial.trial_id)
        return response

    def give_back_lost(self) -> None:
        """Sends the trials of silent workers back to the queue."""
        now = time.monotonic()
        for tuner_id in list(self.oracle.ongoing_trials):
            if now - self.heard.setdefault(tuner_id, now) > self.timeout_s:
                self._give_back(tuner_id)

    def give_back_of(self, worker_id: str) -> None:
        """The same for a worker that is known to be gone."""
        for tuner_id in list(self.oracle.ongoing_trials):
            if tuner_id.startswith(f"{worker_id}."):
                self._give_back(tuner_id)

    def _give_back(self, tuner_id: str) -> None:
        trial_id = _locked_give_back(self.oracle, tuner_id)
        if trial_id is None:
            return
        self.given_back.append(trial_id)
        if self.given_back.count(trial_id) >= _LOST_WORKERS:
            reason = f"expected a result, received none: {_LOST_WORKERS} workers were lost with this trial"
            _locked_fail(self.oracle, trial_id, reason)

    def _hear(self, tuner_id: str) -> None:
        self.heard[tuner_id] = time.monotonic()

    def _check_known(self, trial_id: str) -> Trial:
        # KerasTuner's oracle would raise with its lock held, and every later call would wait for ever.
        if trial_id not in self.oracle.trials:
            raise ValueError(f"trial: expected one of this search, received {trial_id}")
        return self.oracle.trials[trial_id]


def _answer(status: str):
    trial = Trial(hyperparameters=kt.HyperParameters(), trial_id="", status=status)
    return protos.get_service().CreateTrialResponse(trial=trial.to_proto())


@synchronized
def _locked_give_back(oracle: kt.Oracle, tuner_id: str) -> str | None:
    return oracles.give_back(oracle, tuner_id)


@synchronized
def _locked_settle(oracle: kt.Oracle, trial_id: str) -> None:
    oracles.settle(oracle, trial_id)


@synchronized
def _locked_fail(oracle: kt.Oracle, trial_id: str, reason: str) -> None:
    oracles.fail(oracle, trial_id, reason)
