"""The kinds of networks: of each its settings, its name in tables, its task, its defaults and its search space.

The function that builds it and the formula that counts its weights are in the task's `networks.py`; `tasks.py` joins
the two. A further kind is a subclass of `NetworkSettings`; defining it is enough for `train --config` to know it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, SerializeAsAny

from seis_tf.settings.base import Rate, Settings, Units
from seis_tf.settings.spaces import TRAINING_SPACE, Choice, Real, Space, Widths

KINDS: dict[str, type[NetworkSettings]] = {}


class NetworkSettings(Settings):
    """Base of the settings of every kind of network.

    Attributes:
        kind: the name on the command line and in files; a `Literal` with a default in each subclass.
        title: the name in tables and reports.
        task: of the data sets that it is for.
        defaults: settings of `train` for this kind, as a tree that is laid over those of `TrainJob`.
        space: what `tune` searches.
    """

    kind: Any  # a string; type checkers let a subclass narrow a field to its Literal from Any alone
    title: ClassVar[str]
    task: ClassVar[str]
    defaults: ClassVar[dict[str, Any]] = {}
    space: ClassVar[Space] = TRAINING_SPACE

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        KINDS[cls.model_fields["kind"].default] = cls

    @classmethod
    def space_for(cls, shapes: Mapping[str, tuple[int, ...]]) -> Space:
        """The search space for a data set whose features have these shapes; none are given where it is not known."""
        return dict(cls.space)


def network_settings(kind: str) -> type[NetworkSettings]:
    """The settings' class of a kind of network.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"model: expected one of {list(KINDS)}, received {kind!r}")
    return KINDS[kind]


def settings_of(value: Any) -> NetworkSettings:
    """The settings of a network from a tree with its `kind`.

    Raises:
        ValueError: no such kind, or a value out of range.
    """
    if isinstance(value, NetworkSettings):
        return value
    kind = cast(dict[str, Any], value).get("kind") if isinstance(value, dict) else None
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {list(KINDS)}, received {kind!r}")
    return KINDS[kind].model_validate(value)


ModelSettings = Annotated[SerializeAsAny[NetworkSettings], BeforeValidator(settings_of)]


class MlpSettings(NetworkSettings):
    """A fully connected classifier."""

    title = "MLP"
    task = "waveforms"
    # Best balanced accuracy over laboratory, field and simulated records (benchmarks/defaults.py).
    defaults = {
        "training": {
            "optimizer": "sgd",
            "learning_rate": 3e-3,
            "l2": 1e-5,
            "batch_size": 50,
            "epochs": 40,
            "class_weights": "balanced",
            "keep": "last",
        }
    }
    space = {
        "model.hidden": Widths(layers=(1, 2), values=(2, 10, 20, 50, 100)),
        "model.activation": Choice(values=("relu", "silu", "tanh")),
        **TRAINING_SPACE,
    }

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Units, ...] = Field(default=(20,), description="units of each hidden layer")
    activation: str = "relu"
    dropout: Rate = 0.0


class CnnSettings(NetworkSettings):
    """A convolutional classifier of spectrograms."""

    title = "CNN"
    task = "waveforms"
    # Best balanced accuracy over laboratory, field and simulated records (benchmarks/defaults.py). The preset "noisy",
    # which adds noise records, is better still where there is a noise class and the waveforms are stored.
    defaults = {
        "model": {"stem": [2, 2], "dense": 0, "dropout": 0.5},
        "training": {
            "optimizer": "adam",
            "learning_rate": 3e-3,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "warmup_epochs": 2,
            "batch_size": 32,
            "epochs": 80,
            "class_weights": "balanced",
            "keep": "best",
        },
    }
    space = {
        "model.filters": Widths(layers=(2, 4), values=(8, 16, 32)),
        "model.kernel": Choice(values=(3, 5)),
        "model.dense": Choice(values=(0, 20, 50)),
        "model.activation": Choice(values=("relu", "silu")),
        **TRAINING_SPACE,
    }

    kind: Literal["cnn"] = "cnn"
    filters: tuple[Units, ...] = Field(default=(8, 16, 32), description="of each block")
    kernel: int = Field(default=3, gt=0)
    pool: int = Field(default=2, gt=1)
    stem: tuple[Units, Units] = Field(
        default=(1, 1), description="[frequency, time] cells averaged before the first block"
    )
    dense: int = Field(default=20, ge=0, description="units of the hidden layer; 0 for none")
    activation: str = "relu"
    dropout: Rate = 0.3


class Conv1dSettings(NetworkSettings):
    """The network from buoy records to slip; its defaults are the published ones (Liu 2021)."""

    title = "1-D CNN"
    task = "dart"
    # Adam at 5e-4, batches of 20, 300 epochs of squared slip error.
    defaults = {
        "training": {"optimizer": "adam", "learning_rate": 5e-4, "batch_size": 20, "epochs": 300, "keep": "last"}
    }
    # Both published channel patterns, 20-20-40-40-80 and 15-15-30-30-60, are points of this space.
    space = {
        "model.widths": Widths(layers=(1, 8), values=(15, 20, 30, 40, 60, 80)),
        "model.dense": Choice(values=(20, 40, 80, 160)),
        "model.activation": Choice(values=("leaky_relu", "relu", "silu", "gelu")),
        "training.loss.wave_weight": Real(low=0.1, high=100.0, log=True),
        **TRAINING_SPACE,
    }

    kind: Literal["conv1d"] = "conv1d"
    widths: tuple[Units, ...] | None = Field(
        default=None, description="channels of each stage; default by window length"
    )
    dense: int = Field(default=40, gt=0)
    dropout: Rate = 0.3
    activation: str = "leaky_relu"
    negative_slope: float = Field(default=0.01, ge=0, lt=1)
    output: Literal["relu", "softplus"] = "relu"
    use_mask: bool = False

    @classmethod
    def space_for(cls, shapes: Mapping[str, tuple[int, ...]]) -> Space:
        """The number of stages follows from the window, which each one halves."""
        space = super().space_for(shapes)
        if "water_level_m" in shapes:
            stages = int(math.log2(shapes["water_level_m"][0]))
            space["model.widths"] = cls.space["model.widths"].model_copy(update={"layers": (stages, stages)})
        return space


class SlipMlpSettings(NetworkSettings):
    """The fully connected network from buoy records to slip, which sees each record's shape and its level apart."""

    title = "slip MLP"
    task = "dart"
    defaults = {
        "training": {
            "optimizer": "adam",
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "warmup_epochs": 3,
            "batch_size": 64,
            "epochs": 60,
            "loss": {"slip_weight": 0.005, "wave_weight": 1.0},
            "level_weights": True,
            "buoy_dropout": 0.3,
            "redraw_noise": {},
            "keep": "last",
        }
    }
    space = {
        "model.hidden": Widths(layers=(1, 3), values=(64, 128, 256, 512)),
        "model.activation": Choice(values=("relu", "silu", "gelu")),
        "training.loss.wave_weight": Real(low=0.1, high=100.0, log=True),
        **TRAINING_SPACE,
    }

    kind: Literal["slip_mlp"] = "slip_mlp"
    hidden: tuple[int, ...] = Field(default=(256, 256, 256), description="units; layers of equal width are residual")
    activation: str = "silu"
    dropout: Rate = 0.1
    floor_m: float = Field(default=0.01, gt=0, description="level below which records are not scaled up")
    gain: float = Field(default=20.0, gt=0, description="metres of slip to a metre of level, roughly")
    use_mask: Literal[True] = True
