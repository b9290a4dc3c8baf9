"""What was seen of some events, and what was true."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seis_tf.evaluation.dart.scores import TrueWaves


@dataclass(frozen=True, eq=False)
class Windows:
    """What was seen of some events, and what was true.

    Attributes:
        level_m: [event, minute, buoy], 0 where masked.
        mask: bool, likewise; True where there is a sample.
        weights_m: [event, source].
        true: the waves.
    """

    level_m: np.ndarray
    mask: np.ndarray
    weights_m: np.ndarray
    true: TrueWaves

    def rows(self, chosen: np.ndarray) -> Windows:
        """Some of the events."""
        true = replace(self.true, waves_m=self.true.waves_m[chosen])
        return Windows(self.level_m[chosen], self.mask[chosen], self.weights_m[chosen], true)

    def without(self, buoy: int) -> tuple[Windows, np.ndarray]:
        """The same with one buoy silent; and the rows of the events of which anything is left."""
        mask = self.mask & (np.arange(self.mask.shape[2]) != buoy)
        left = np.flatnonzero(mask.any(axis=(1, 2)))
        silent = replace(self, mask=mask, level_m=np.where(mask, self.level_m, 0))
        return silent.rows(left), left
