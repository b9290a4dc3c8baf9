"""Row 8: DART window -> slip, 1,000 events together and one at a time, against SciPy's NNLS on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way

from rows import inputs
from rows.answers import exported_folder

NNLS = "scipy.optimize.nnls on each"
Answer = Callable[[np.ndarray], np.ndarray]


def row(scale: str) -> Row:
    """45 minutes at 3 buoys, 31 sources."""
    many, calls = (50, 5) if scale == "quick" else (1000, 200)
    together, single = {"size": many, "calls": 1}, {"size": 1, "calls": calls}
    ways = {
        f"network, {many:,}": Way("rows.inversion:network", together),
        f"exported answer, {many:,}": Way("rows.inversion:exported", together),
        f"seis_tf.dart.inversion.nnls, {many:,}": Way("rows.inversion:our_nnls", together),
        "network, 1": Way("rows.inversion:network", single),
        "exported answer, 1": Way("rows.inversion:exported", single),
        NNLS: Way("rows.inversion:scipy_nnls", together, 1),
    }
    aims = {f"network, {many:,}": 10}
    return Row(
        "8",
        f"DART window -> slip, {many:,} events together and one at a time",
        "events/s",
        (("rows.inputs:exported", {"task": "dart"}), ("rows.inputs:fakequakes_file", {"count": 1000})),
        ways,
        tuple(Comparison(name, name, (NNLS,), aims.get(name)) for name in ways if name != NNLS),
        note="Simulated earthquakes. The network and NNLS do not give the same answer: the window study says how good "
        "each is. The exported answer holds magnitude and the wave at six buoys for six hours too. NNLS: one thread.",
    )


def network(work: Path, size: int, calls: int) -> Ready:
    """The Keras model as one compiled function."""
    return _ready(work, compiled_network(45, 31), size, calls)


def compiled_network(minutes: int, sources: int) -> Answer:
    """The published network for this window and these sources, compiled."""
    import tensorflow as tf

    from seis_tf.dart import networks as dart_networks

    model = dart_networks.conv1d(minutes, 3, sources)
    function = tf.function(lambda x: model(x, training=False), jit_compile=True)
    return lambda level: function(tf.constant(level)).numpy()


def exported(work: Path, size: int, calls: int) -> Ready:
    """The SavedModel's default signature: slip, magnitude and waves."""
    import tensorflow as tf

    function = tf.saved_model.load(str(exported_folder(work, "dart"))).signatures["serving_default"]
    return _ready(work, lambda level: function(water_level_m=tf.constant(level))["weights_m"].numpy(), size, calls)


def our_nnls(work: Path, size: int, calls: int) -> Ready:
    """NNLS on the triangle of one QR decomposition."""
    from seis_tf.dart import inversion

    matrix = inputs.fakequakes(work, 1000)[1]
    return _ready(work, lambda level: inversion.nnls(matrix, level), size, calls)


def scipy_nnls(work: Path, size: int, calls: int) -> Ready:
    """As everybody does it."""
    return _ready(work, each_nnls(inputs.fakequakes(work, 1000)[1]), size, calls)


def each_nnls(matrix: np.ndarray) -> Answer:
    """`scipy.optimize.nnls` of one event after the other."""
    from scipy.optimize import nnls

    flat = matrix.reshape(-1, matrix.shape[-1])
    return lambda level: np.array([nnls(flat, window)[0] for window in level.reshape(len(level), -1).astype(float)])


def _ready(work: Path, answer: Answer, size: int, calls: int) -> Ready:
    level = inputs.fakequakes(work, 1000)[0]
    blocks = [np.ascontiguousarray(level[k % (len(level) - size + 1) :][:size]) for k in range(calls)]

    def run() -> None:
        for block in blocks:
            answer(block)

    return Ready(run, size * calls)


def sweep_network(work: Path, minutes: int = 45, sources: int = 31, size: int = 1000) -> Ready:
    """Windows of another length, or more sources: slip on half of them, 5 mm of noise."""
    level = inputs.dart_system(size, minutes, sources)[0]
    answer = compiled_network(minutes, sources)
    return Ready(lambda: answer(level), size)


def sweep_nnls(work: Path, minutes: int = 45, sources: int = 31, size: int = 100) -> Ready:
    """The same windows."""
    level, _, matrix = inputs.dart_system(size, minutes, sources)
    answer = each_nnls(matrix)
    return Ready(lambda: answer(level), size)
