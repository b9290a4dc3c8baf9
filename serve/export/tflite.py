"""A run's graph -> one TensorFlow Lite file, for a recorder or a phone that has no TensorFlow.

All operations are built in, so the plain interpreter runs it. Two things differ from the SavedModel: there is no
signature for serialized Examples (parsing them is no built-in operation), and trend and band-pass are computed in
float32, because the built-in operations have no float64. Subtract offsets far above the signal beforehand.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from seis_tf.runs import Run
from seis_tf.serve.export.check import Ask
from seis_tf.serve.export.signature import Graph, save
from seis_tf.serve.export.waveform_graph import Classifier

FILE = "model.tflite"
_NOT_TFLITE = ("examples", "masked_named")  # of texts
# The interpreter sums in another order than TensorFlow: sums of 6,565 products differ by some 1e-6.
OUTPUT_LIMIT = 1e-5


def write_tflite(path: Path, run: Run, graph: Graph) -> dict[str, Ask]:
    """Writes the file and reads it back.

    Args:
        path: of the file.
        run: whose model it is.
        graph: what the SavedModel was made of.

    Returns:
        Its signatures as functions of arrays, answered by the interpreter.
    """
    if isinstance(graph, Classifier):
        graph = Classifier(run.model, graph.info, graph.temperature, precision=tf.float32)
    signatures = {key: signature for key, signature in graph.signatures().items() if key not in _NOT_TFLITE}
    with tempfile.TemporaryDirectory() as folder:
        save(signatures, graph.variables, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        path.write_bytes(converter.convert())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(model_path=str(path))
    return {key: _as_function(interpreter, key) for key in signatures}


def _as_function(interpreter: tf.lite.Interpreter, key: str) -> Ask:
    runner = interpreter.get_signature_runner(key)
    return lambda **inputs: {name: np.array(values) for name, values in runner(**inputs).items()}
