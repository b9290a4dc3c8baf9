"""TensorFlow started quietly."""

from __future__ import annotations

import os
import sys

quiet = False  # whether TensorFlow's own messages are thrown away; processes that are started from here do as well


def load_tensorflow(verbose: bool = False) -> None:
    """Imports TensorFlow and starts its devices; what they print at that moment is thrown away unless verbose.

    Some of it is written by C++ before any logging level counts, so the file descriptor itself is pointed elsewhere.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    global quiet
    quiet = not verbose
    if verbose:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # each architecture is traced once: no reason to warn of retracing
        tf.config.list_logical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
