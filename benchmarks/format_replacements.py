"""seis_tf/dataset/wire.py beside classes generated from the protobuf schema, called in turn.

    python benchmarks/format_replacements.py [--rounds 5] [--records 20000]

`prepare` of simulated labquakes with one worker, each time as a new command, with wire.py, with classes that the
protobuf package makes of a schema, and with TensorFlow's class; encoding alone; and whether the shards' bytes stay.
Prints the median of the rounds, with the smallest and largest. README.md says what was decided by it ("Replacements
tried").
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from server_replacements import Rows, report

# The messages of example.proto with its map spelled as what a map is on the wire: repeated entries, in their order.
_SCHEMA = """
name: "seis_tf/example.proto" package: "seis_tf" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type {
  name: "Feature" field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".seis_tf.BytesList" } }
message_type {
  name: "Entry" field { name: "key" number: 1 type: TYPE_STRING }
  field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".seis_tf.Feature" } }
message_type {
  name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".seis_tf.Entry" } }
message_type {
  name: "Example" field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".seis_tf.Features" } }
"""


def protobuf_examples() -> None:
    """Records are encoded by classes of the protobuf package; features keep their order."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    from seis_tf.dataset import examples

    file = text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().Add(file)
    message = message_factory.GetMessages([file])["seis_tf.Example"]

    def joined(features: Any, payloads: Any) -> bytes:
        example = message()
        for feature, payload in zip(features, payloads, strict=True):
            entry = example.features.feature.add(key=feature.name)
            entry.value.bytes_list.value.append(bytes(payload))
        return example.SerializeToString()

    examples._joined = joined


def tensorflow_examples() -> None:
    """Records are encoded by TensorFlow's generated class; features in the order of their names."""
    from tensorflow.core.example import example_pb2

    from seis_tf.dataset import examples

    def joined(features: Any, payloads: Any) -> bytes:
        example = example_pb2.Example()
        for feature, payload in zip(features, payloads, strict=True):
            example.features.feature[feature.name].bytes_list.value.append(bytes(payload))
        return example.SerializeToString(deterministic=True)

    examples._joined = joined


def prepare_once(source: str, out: str) -> None:
    """`prepare` in this process, whose one worker is forked from it; prints seconds and processor seconds."""
    from seis_tf.settings.data import WaveformJob
    from seis_tf.waveforms.prepare import prepare_waveforms

    started, processor_s = time.perf_counter(), time.process_time()
    prepare_waveforms(source, out, WaveformJob(), processes=1)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = time.process_time() - processor_s + children.ru_utime + children.ru_stime
    print(json.dumps([time.perf_counter() - started, used_s]))


def encoding(variants: dict[str, str], rounds: int, count: int) -> Rows:
    """Encoding alone, and `prepare` as a command of its own, of simulated labquakes."""
    import hashlib

    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import write_labquakes

    here = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as place:
        source = write_labquakes(Path(place) / "raw", LabquakeSettings(), count // 4, seed=0)
        files = sum(1 for _ in source.rglob("*.mseed"))
        measured: Rows = {name: [] for name in variants}
        sums: dict[str, str] = {}
        for _round in range(rounds):
            for name, code in variants.items():
                out = Path(place) / "data"
                shutil.rmtree(out, ignore_errors=True)
                program = (
                    f"import sys; sys.path.insert(0, {here!r}); import format_replacements as r; {code or 'pass'}\n"
                )
                started = time.perf_counter()
                result = subprocess.run(
                    [sys.executable, "-c", program + f"r.prepare_once({str(source)!r}, {str(out)!r})"],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                whole_s = time.perf_counter() - started
                seconds, used_s = json.loads(result.stdout.splitlines()[-1])
                alone = subprocess.run(
                    [sys.executable, "-c", program + "print(r.encode_alone())"],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                measured[name].append({
                    "records/s": files / seconds,
                    "processor us/record": 1e6 * used_s / files,
                    "whole command s": whole_s,
                    "encoding alone us/record": float(alone.stdout.split()[-1]),
                })  # fmt: skip
                digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(out.rglob("*.tfrecord*"))))
                sums[name] = digest.hexdigest()[:12]
    first = next(iter(sums.values()))
    for name, value in sums.items():
        print(f"shards of {name!r}: {'the same bytes' if value == first else 'other bytes'} ({value})")
    return measured


def encode_alone() -> float:
    """Microseconds for each record of a batch of 256: a spectrogram of 65 x 101, a waveform of 1,024, some numbers."""
    from seis_tf.dataset import examples
    from seis_tf.dataset.examples import Feature

    features = [
        Feature(name="spectrogram", dtype="float32", shape=(65, 101)),
        Feature(name="waveform", dtype="float32", shape=(1024,)),
        Feature(name="label", dtype="int64"),
        *[Feature(name=f"number_{k}", dtype="float32") for k in range(3)],
        *[Feature(name=f"text_{k}", dtype="string") for k in range(3)],
    ]
    columns: dict[str, Any] = {f.name: np.ones((256, *f.shape), np.float32) for f in features if f.dtype == "float32"}
    columns |= {"label": np.arange(256)} | {f"text_{k}": [f"event {i}" for i in range(256)] for k in range(3)}
    taken = []
    for _ in range(30):
        started = time.process_time()
        examples.encode_batch(columns, features)
        taken.append((time.process_time() - started) / 256)
    return 1e6 * statistics.median(taken)


def main() -> None:
    """Parses the command line and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args()
    variants = {"wire.py": "", "protobuf package": "r.protobuf_examples()"}
    variants |= {"TensorFlow's class": "r.tensorflow_examples()"}
    report("prepare, one worker", encoding(variants, options.rounds, options.records))


if __name__ == "__main__":
    main()
