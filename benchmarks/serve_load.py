"""What the local server does under load, beside the bare model: 32 clients, one record a request.

    python benchmarks/serve_load.py [MODELS/NAME] [--seconds 60] [--clients 32] [--quick]

Without a model it simulates labquakes, trains an MLP and a CNN for a moment, exports both and loads each. For each:

1. the bare SavedModel, called from Python with batches of 1 and of 32, in one thread as the server does it: the gain
   that batching can give at most;
2. the server over REST for a third of the time, with one record in a call (no batching) and with batching;
3. the same over REST for the whole time: answers and errors, p50 and p99, resident memory each second, processor time.
   Half-way a new version is swapped in;
4. over gRPC, for a third of the time.

Clients and server share the machine. The clients are one process that sends bytes made beforehand and reads the
answer's status and length, no more. On a machine that others use too, processor time says more than answers a second:
both are given, with the load average before each row. Writes benchmarks/serve_load.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

RATE_HZ, LENGTH = 10e6, 1024
Row = dict[str, Any]


def export_models(place: Path) -> list[Path]:
    """An MLP and a CNN, trained for a few epochs on simulated labquakes."""
    from seis_tf.runs import train
    from seis_tf.serve.export.export import export
    from seis_tf.settings.data import WaveformJob
    from seis_tf.settings.networks import CnnSettings, MlpSettings
    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.settings.training import TrainingSettings, TrainJob
    from seis_tf.synthetic.labquakes import write_labquakes
    from seis_tf.waveforms.prepare import prepare_waveforms

    raw = write_labquakes(place / "raw", LabquakeSettings(), 300, seed=0)
    prepare_waveforms(raw, place / "data", WaveformJob())
    for settings in (MlpSettings(), CnnSettings()):
        job = TrainJob(model=settings, training=TrainingSettings(epochs=3))
        train(place / "data", job, place / f"run-{settings.kind}")
        export(place / f"run-{settings.kind}", place / "models", settings.kind)
    return [place / "models" / "mlp", place / "models" / "cnn"]


def bare(folder: Path, records: np.ndarray, queue: multiprocessing.Queue) -> None:
    """The SavedModel alone, batches of 1 and of 32: records a second and processor time, the best of five rounds."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    ask = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = {}
    for size in (1, 32):
        batch = records[:size]
        for _ in range(20):
            ask(waveform=tf.constant(batch))
        rounds = []
        for _ in range(5):
            started, processor_s, calls = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - started < 1:
                answer = ask(waveform=tf.constant(batch))
                _ = {name: tensor.numpy() for name, tensor in answer.items()}
                calls += 1
            count = calls * size
            rounds.append((count / (time.perf_counter() - started), count / (time.process_time() - processor_s)))
        found[size] = {"records_per_s": max(r[0] for r in rounds), "us_per_record": 1e6 / max(r[1] for r in rounds)}
    queue.put(found)


class Server:
    """The server in a separate process; `before` is code that it runs first."""

    def __init__(self, models: Path, before: str = "", **settings: Any) -> None:
        program = (
            f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"{before}\n"
            "from seis_tf.serve.local_server import serve\n"
            "def started(at): print(at.rest_port, at.grpc_port, flush=True)\n"
            "serve(sys.argv[1], rest_port=0, grpc_port=0, started=started, **json.loads(sys.argv[2]))"
        )
        command = [sys.executable, "-c", program, str(models), json.dumps(settings)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.rest_port, self.grpc_port = map(int, self.process.stdout.readline().split())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process.stdout.close()

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def processor_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def model_counts(self) -> tuple[float, float, float]:
        """Calls of the model, records in them, and the microseconds that they took."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest_port}/monitoring/prometheus/metrics") as answer:
            lines = [line.rpartition(" ") for line in answer.read().decode().splitlines()]
        size, time_us = ("batching_session:processed_batch_size", "runtime_latency")
        wanted = (f"{size}_count", f"{size}_sum", f"{time_us}_sum")
        return tuple(sum(float(n) for key, _, n in lines if f":serving:{name}{{" in key) for name in wanted)


def rest_load(port: int, name: str, records: np.ndarray, clients: int, seconds: float, queue) -> None:
    """Sends one record after the other on each connection; puts answer times and errors."""
    requests = []
    for record in records:
        body = json.dumps({"instances": [record.tolist()]}).encode()
        head = f"POST /v1/models/{name}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)

    async def client(number: int, end: float, times: list[float], errors: list[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while (started := time.perf_counter()) < end:
            writer.write(requests[turn % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.index(b"content-length: ") + 16
            body = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            times.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200") or b'"predictions"' not in body:
                errors.append((head + body)[:200].decode())
            turn += clients
        writer.close()

    _run_clients(client, clients, seconds, queue)


def grpc_load(port: int, name: str, records: np.ndarray, clients: int, seconds: float, queue) -> None:
    """The same over gRPC, with the generated stubs."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    requests = []
    for record in records:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["waveform"].CopyFrom(tf.make_tensor_proto(record[None]))
        requests.append(request)

    async def client(number: int, end: float, times: list[float], errors: list[str]) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            turn = number
            while (started := time.perf_counter()) < end:
                try:
                    await stub.Predict(requests[turn % len(requests)], timeout=30)
                except grpc.RpcError as err:
                    errors.append(str(err)[:200])
                times.append(time.perf_counter() - started)
                turn += clients

    _run_clients(client, clients, seconds, queue)


def _run_clients(client, clients: int, seconds: float, queue) -> None:
    times: list[float] = []
    errors: list[str] = []

    async def main() -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*[client(number, end, times, errors) for number in range(clients)])

    asyncio.run(main())
    queue.put((times, errors))


def loaded(server: Server, load, port: int, name: str, records: np.ndarray, clients: int, seconds: float) -> Row:
    """One row of the table: clients in a process, the server's memory and processor time meanwhile."""
    load_before = os.getloadavg()[0]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=load, args=(port, name, records, clients, seconds, queue))
    processor_s, counts = server.processor_s(), np.array(server.model_counts())
    process.start()
    memory_mb = []
    while process.is_alive() and queue.empty():
        memory_mb.append(round(server.memory_mb(), 1))
        time.sleep(1)
    times, errors = queue.get()
    process.join()
    times_ms = 1000 * np.array(times)
    calls, rows, model_us = np.array(server.model_counts()) - counts
    return {
        "answers_per_s": len(times) / seconds,
        "p50_ms": float(np.percentile(times_ms, 50)),
        "p99_ms": float(np.percentile(times_ms, 99)),
        "slowest_ms": float(times_ms.max()),
        "answers": len(times),
        "errors": len(errors),
        "first_error": errors[0] if errors else "",
        "server_us_per_answer": 1e6 * (server.processor_s() - processor_s) / len(times),
        "records_per_call": rows / calls,
        "model_us_per_answer": model_us / rows,
        "memory_mb": memory_mb,
        "load_average_before": load_before,
    }


def swap_in(version: Path, after_s: float) -> threading.Timer:
    """Copies a version to the next number, aside and by renaming, as `export` does."""

    def swap() -> None:
        aside = version.parent / ".half"
        shutil.copytree(version, aside)
        aside.rename(version.parent / str(int(version.name) + 1))

    timer = threading.Timer(after_s, swap)
    timer.start()
    return timer


def measure(model: Path, records: np.ndarray, clients: int, seconds: float) -> Row:
    """All rows of one model."""
    from seis_tf.serve.export.export import versions

    newest = model / str(versions(model)[-1])
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    found: Row = {"load_average_before": os.getloadavg()[0]}
    process = context.Process(target=bare, args=(newest, records, queue))
    process.start()
    alone = queue.get()
    process.join()
    found["bare"] = {"one by one": alone[1], "batches of 32": alone[32]}
    with tempfile.TemporaryDirectory() as place:
        version = Path(place) / model.name / "1"
        shutil.copytree(newest, version)
        arguments = (model.name, records, clients)
        with Server(Path(place), batching={"max_batch_size": 1}) as server:
            loaded(server, rest_load, server.rest_port, *arguments, 2)
            found["rest, no batching"] = loaded(server, rest_load, server.rest_port, *arguments, seconds / 3)
        if (config := model.parent / "batching.config").is_file():
            shutil.copy(config, place)  # as `export` writes it: at most 32 records, 2 ms
        with Server(Path(place)) as server:
            loaded(server, rest_load, server.rest_port, *arguments, 2)
            found["rest"] = loaded(server, rest_load, server.rest_port, *arguments, seconds / 3)
            timer = swap_in(version, seconds / 2)
            found["rest, version swapped"] = loaded(server, rest_load, server.rest_port, *arguments, seconds)
            timer.join()
            found["grpc"] = loaded(server, grpc_load, server.grpc_port, *arguments, seconds / 3)
    single, batched = found["rest, no batching"], found["rest"]
    bare_gain = alone[1]["us_per_record"] / alone[32]["us_per_record"]
    found["gain of batching"] = {
        "bare model, processor time": bare_gain,
        "model in the server, wall time": alone[1]["us_per_record"] / batched["model_us_per_answer"],
        "whole server, answers a second": batched["answers_per_s"] / single["answers_per_s"],
        "whole server, processor time": single["server_us_per_answer"] / batched["server_us_per_answer"],
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, help="MODELS/NAME of a waveform model of 1024 samples")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--quick", action="store_true", help="six seconds, to see that it runs")
    options = parser.parse_args()
    seconds = 6 if options.quick else options.seconds
    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import simulate

    # Whole counts, as recorders give them.
    records = simulate(LabquakeSettings(), 96, seed=5).samples.astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        models = [options.model] if options.model else export_models(Path(place))
        found = {model.name: measure(model, records, options.clients, seconds) for model in models}
    for name, rows in found.items():
        print(f"{name}")
        for kind, row in rows["bare"].items():
            print(f"  bare, {kind:14s} {row['records_per_s']:6.0f} records/s, {row['us_per_record']:.0f} us each")
        for kind in ("rest, no batching", "rest", "rest, version swapped", "grpc"):
            row = rows[kind]
            print(
                f"  {kind:21s} {row['answers_per_s']:6.0f} /s, p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms,"
                f" {row['errors']} errors in {row['answers']}, {row['records_per_call']:.1f} records a call,"
                f" {row['server_us_per_answer']:.0f} us each (model {row['model_us_per_answer']:.0f}),"
                f" memory {row['memory_mb'][0]:.0f} to {row['memory_mb'][-1]:.0f} MB,"
                f" load {row['load_average_before']:.1f}"
            )
        for kind, gain in rows["gain of batching"].items():
            print(f"  gain of batching, {kind}: {gain:.2f}")
    if not options.quick and options.model is None:
        path = Path(__file__).with_suffix(".json")
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
