"""The page's routes against `predict`, and the page in headless Chromium, where that is installed."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
from obspy import Stream, Trace

from seis_tf import isolated
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.serve.export.export import export
from seis_tf.serve.local_server import running
from seis_tf.serve.page import dart
from seis_tf.serve.predict.predict import predict
from seis_tf.settings.data import DartJob, WaveformJob
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.simulation import FakequakeSettings, LabquakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.waveforms.prepare import prepare_waveforms

STATIC = Path(dart.__file__).parent / "static"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def raw(place) -> Path:
    return write_labquakes(place / "raw", LabquakeSettings(), 120, seed=0)


@pytest.fixture(scope="module")
def events(place) -> Path:
    settings = FakequakeSettings(record_min=45)
    return write_fakequakes(place / "events", simulate(settings, load_greens(), 30, seed=0), load_greens(), raw=1)


@pytest.fixture(scope="module")
def models(place, raw, events, untrained_run, toy_models) -> Path:
    """Ensembles of both tasks, and a model without metadata, which takes no records."""
    job = WaveformJob.model_validate(
        {"record": {"length_samples": 256, "anchor": "center"}, "spectrogram": {"nfft": 32}}
    )
    prepare_waveforms(raw, place / "lab", job)
    train = TrainJob(model=MlpSettings(hidden=(4,)), training=TrainingSettings(members=2))
    export(untrained_run(place / "run-lab", place / "lab", train), place / "models", "lab")
    prepare_dart(events, place / "dart", DartJob())
    train = TrainJob(model=Conv1dSettings(use_mask=True), training=TrainingSettings(members=2))
    export(untrained_run(place / "run-dart", place / "dart", train), place / "models", "dart")
    shutil.copytree(toy_models / "toy" / "1", place / "models" / "toy" / "1")
    (place / "models" / "models.config").unlink()
    return place / "models"


@pytest.fixture(scope="module")
def server(models):
    with running(models, grpc_port=None) as where:
        yield where


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def as_file(path: Path, name: str | None = None) -> dict[str, str]:
    return {"name": name or path.name, "b64": base64.b64encode(path.read_bytes()).decode()}


def ask(client: httpx.Client, model: str, **question) -> httpx.Response:
    return client.post("/page/answer", json={"model": model, **question}, headers={"x-requested-with": "test"})


def test_the_page_and_its_files_come_from_here_only(client):
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    for path in STATIC.iterdir():
        answer = client.get(f"/static/{path.name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        places = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", answer.text)) - {"http://www.w3.org/2000/svg"}
        assert places == set(), path.name
    assert client.get("/static/none.js").status_code == 404
    assert client.get("/static/../page.py").status_code == 404
    assert client.get("/static/%2e%2e/page.py").status_code == 404


def test_models_are_listed_with_what_they_take(client):
    listed = {entry["name"]: entry for entry in client.get("/page/models").json()}
    assert list(listed) == ["dart", "lab", "toy"]
    assert listed["lab"]["about"].startswith("One trace of at least 256 samples at 10 MHz (25.6 µs)")
    assert len(listed["lab"]["examples"]) == 6 and listed["lab"]["examples"][0].startswith("Simulated AE 1, SNR ")
    assert "46404, 46407, 46419, the first 45 minutes" in listed["dart"]["about"]
    assert [title.startswith("Simulated Mw ") for title in listed["dart"]["examples"]] == [True] * 3
    assert "task" not in listed["toy"]


def test_a_files_answer_is_that_of_predict(client, models, raw):
    file = sorted((raw / "AE").iterdir())[0]
    expected = predict(models / "lab" / "1", file)[0]
    answer = ask(client, "lab", files=[as_file(file)]).json()
    assert (answer["model"], answer["version"], answer["task"], answer["valid"]) == ("lab", 1, "waveforms", True)
    assert answer["class_name"] == expected["class_name"]
    for entry in answer["probabilities"]:
        assert entry["value"] == pytest.approx(expected["probabilities"][entry["name"]], abs=1e-6)
        assert entry["spread"] == pytest.approx(expected["spread"][entry["name"]], abs=1e-6)
    assert len(answer["waveform"]["values"]) == 256
    assert answer["waveform"]["time_s"][-1] == pytest.approx(255e-7)
    assert np.shape(answer["spectrogram"]["values"]) == (17, 24)  # nfft 32; (256 - 10) // 10 frames
    assert answer["spectrogram"]["frequency_hz"] == [0, 5e6]


def test_counts_above_2_to_the_24_are_judged_and_infinite_ones_are_not(client):
    """Sent over REST as JSON integers, which float32 rounds; the graph says which records are valid."""
    counts = (np.random.default_rng(0).normal(size=256) * 1e9).astype(int).tolist()
    assert max(counts) > 2**24
    far = [10**39, *counts[1:]]
    body = {"instances": [counts, np.float32(counts).astype(float).tolist(), far]}
    integers, floats, infinite = client.post("/v1/models/lab:predict", json=body).json()["predictions"]
    assert integers == floats and integers["valid"] is True
    assert infinite["valid"] is False and (infinite["class_id"], infinite["class_name"]) == (-1, "")


def test_examples_are_answered(client):
    for number in range(6):
        answer = ask(client, "lab", example=number).json()
        assert sum(entry["value"] for entry in answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    answer = ask(client, "dart", example=1).json()
    assert answer["mw_truth"] == pytest.approx(
        float(client.get("/page/models").json()[0]["examples"][1][-4:]), abs=0.006
    )
    assert len(answer["forecast"]) == 6 and len(answer["forecast"][0]["truth"]) == 361


def test_a_record_longer_than_the_window_is_said_to_be(client, models, raw):
    """The model takes 256 samples from the middle of 1,024, at 10 MHz."""
    file = sorted((raw / "UP").iterdir())[0]
    answer = ask(client, "lab", files=[as_file(file)]).json()
    assert (
        answer["note"]
        == predict(models / "lab" / "1", file)[0]["note"]
        == "judged by 25.6 of 102.4 µs, from 38.4 µs on"
    )
    assert answer["record_s"] == pytest.approx(1024e-7) and answer["used_s"] == pytest.approx(256e-7)


def test_an_events_answer_is_that_of_predict(client, models, events):
    folder = next(path for path in sorted((events / "raw").iterdir()) if path.is_dir())
    expected = predict(models / "dart" / "1", folder)[0]
    answer = ask(client, "dart", files=[as_file(path) for path in folder.iterdir()]).json()
    assert answer["mw"] == pytest.approx(expected["mw"], abs=1e-4)
    assert (answer["outside"], answer["region"]) == (expected["outside"], expected["region"])
    assert (answer["level"], answer["mw_interval"]) == (0.8, pytest.approx(expected["mw_80"], abs=1e-4))
    for curve in answer["forecast"]:
        np.testing.assert_allclose(curve["values"], expected["forecast_m"][curve["gauge"]], atol=1e-4)
        assert all(low <= high for low, high in zip(curve["lower"], curve["upper"], strict=True))
    slip = {source["name"]: source["slip_m"] for source in answer["map"]["sources"]}
    assert slip == pytest.approx(expected["weights_m"], abs=1e-3)
    samples = {buoy["name"]: sum(value is not None for value in buoy["values"]) for buoy in answer["buoys"]}
    assert {name: f"{count}/45" for name, count in samples.items()} == expected["samples"]


def test_an_event_without_enough_says_why_and_one_bad_file_is_left_out(client, models, events):
    folder = next(path for path in sorted((events / "raw").iterdir()) if path.is_dir())
    paths = sorted(folder.glob("*.txt"))
    bad = {"name": paths[0].name, "b64": base64.b64encode(b"<html>502 Bad Gateway</html>").decode()}
    files = [bad, *(as_file(path) for path in paths[1:]), as_file(folder / "event.json")]
    answer = ask(client, "dart", files=files).json()
    assert answer["valid"] and answer["buoys_used"] == [path.stem for path in paths[1:]]
    (left_out,) = answer["left_out"]
    assert left_out.startswith(f"{paths[0].name}: expected NDBC DART text")  # and no folder of the server
    assert answer["mw_interval"] is None is answer["level"] and "lower" not in answer["forecast"][0]
    assert answer["intervals_reason"].startswith("no intervals: a buoy is missing, and they were not calibrated for")
    answer = ask(client, "dart", files=[files[0], files[1], files[-1]]).json()
    assert not answer["valid"] and answer["mw"] is None and answer["mw_interval"] is None
    assert answer["reason"].startswith("not enough samples: expected at least 50 % of the window, received ")
    # The REST interface gives the same answer.
    window = np.zeros((1, 45, 3))
    reply = client.post("/v1/models/dart:predict", json={"inputs": {"water_level_m": window.tolist()}}).json()[
        "outputs"
    ]
    assert (reply["valid"], reply["enough_samples"], reply["enough_signal"]) == ([False], [True], [False])
    assert reply["reason"] == ["not enough signal: expected at least 7 mm about each buoy's mean (rms)"]
    assert reply["has_intervals"] == [False] and reply["samples"] == [[45, 45, 45]] and reply["mw"] == [0.0]


def test_the_slip_maps_rectangles_are_noaas():
    """Lon and lat are those of the lower edge's centre; the plane dips to the right of its strike."""
    source = {"lon": 230.0, "lat": 0.0, "strike_deg": 0.0, "dip_deg": 60.0, "length_km": 100.0, "width_km": 50.0}
    # Strike north, dip east: the upper edge lies 50 km cos(60) = 25 km to the west. A degree is 6371 pi / 180 km.
    degree = 111.19493
    half, width = 50 / degree, 25 / degree
    expected = [[230, -half], [230, half], [230 - width, half], [230 - width, -half]]
    np.testing.assert_allclose(dart.corners_of(source), expected, atol=1e-4)
    east = dart.corners_of(source | {"strike_deg": 90.0, "lat": 60.0})
    # Strike east, dip south: the upper edge lies north; at 60 degrees a degree of longitude is half as long.
    expected = [[230 - 2 * half, 60], [230 + 2 * half, 60], [230 + 2 * half, 60 + width], [230 - 2 * half, 60 + width]]
    np.testing.assert_allclose(east, expected, atol=1e-4)


def test_the_coast_of_vancouver_island_is_on_the_map():
    points = np.concatenate([np.array(line) for line in dart.coast()])
    # Cape Flattery, 48.38 N 124.71 W: a 6-minute grid has it within a few cells.
    assert np.hypot(*(points - [360 - 124.71, 48.38]).T).min() < 0.2


def event_json(**content) -> dict[str, str]:
    return {"name": "event.json", "b64": base64.b64encode(json.dumps(content).encode()).decode()}


class Harmful:
    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize(
    ("model", "question", "message"),
    [
        ("none", {"example": 0}, "Servable not found for request: Latest(none)"),
        ("toy", {"example": 0}, "toy: expected a model that takes records, received another one"),
        ("lab", {"example": 6}, "example: expected a number from 0 to 5, received '6'"),
        ("lab", {"example": True}, "example: expected a number"),
        ("lab", {}, "question: expected an example or files, received neither"),
        ("lab", {"example": 0, "files": []}, "question: expected an example or files, received both"),
        ("lab", {"example": 0, "resample": {}}, "resample: expected true or false, received '{}'"),
        ("lab", {"example": 0, "origin_time": 5}, "origin_time: expected text, received '5'"),
        ("lab", {"files": []}, "files: expected a list of 1 to 20"),
        ("lab", {"files": ["x"]}, "files: expected objects with name and b64"),
        ("lab", {"files": [{"name": "x"}]}, "b64: expected text, received 'None'"),
        ("lab", {"files": [{"name": "x", "b64": "?"}]}, "x: expected base64"),
        ("lab", {"files": [{"name": "..", "b64": ""}]}, "name: expected that of a file, received '..'"),
        ("lab", {"files": [{"name": "a\0b", "b64": ""}]}, "name: expected that of a file"),
        ("lab", {"files": [{"name": "x", "b64": ""}]}, "x: expected a waveform file, received an empty file"),
        ("lab", {"files": [{"name": "/etc/x", "b64": "aGVsbG8="}]}, "x: expected miniSEED, SAC, GSE2, SEG-Y or SEG-2"),
        ("lab", {"files": [{"name": "x", "b64": ""}, {"name": "y", "b64": ""}]}, "files: expected one, received 2"),
        ("lab", {"files": [{"name": "x", "b64": ""}, {"name": "a/x", "b64": ""}]}, "x: expected each file once"),
        ("dart", {"files": [{"name": "x.txt", "b64": "aGVsbG8="}]}, "x.txt: expected NDBC DART text"),
        ("dart", {"files": [{"name": "x.txt", "b64": ""}], "origin_time": 5}, "origin_time: expected text"),
        ("dart", {"files": [event_json(origin_time=5)]}, "event.json: origin_time: expected text, received '5'"),
        (
            "dart",
            {"files": [event_json(epicentre_lonlat=[1])]},
            "epicentre_lonlat: expected two numbers, received '[1]'",
        ),
        ("dart", {"files": [event_json()]}, "event: buoys: expected ['46404', '46407', '46419'], received []"),
    ],
)
def test_bad_questions_are_refused_in_words(client, model, question, message):
    answer = ask(client, model, **question)
    assert answer.status_code == (404 if model == "none" else 400)
    assert message in answer.json()["error"]
    assert "/tmp" not in answer.json()["error"]


def test_bad_records_are_refused_in_words(client, tmp_path, events, capfd):
    def refusal(samples, rate_hz=10e6, **options) -> str:
        Stream([Trace(np.asarray(samples, np.float32), {"sampling_rate": rate_hz})]).write(str(tmp_path / "x"), "MSEED")
        answer = ask(client, "lab", files=[as_file(tmp_path / "x")], **options)
        assert answer.status_code == 400
        return answer.json()["error"]

    noise = np.random.default_rng(0).normal(size=1000)
    assert refusal(noise, 5e6) == "x: expected 10000000 Hz, received 5000000 Hz"
    assert refusal(noise[:200]) == "x: expected at least 256 samples, received 200"
    assert "expected finite samples, received nan" in refusal(np.where(np.arange(1000) == 500, np.nan, noise))
    assert "expected a trace that varies" in refusal(np.ones(1000))
    Stream([Trace(noise.astype(np.float32), {"sampling_rate": 5e6})]).write(str(tmp_path / "slow"), "MSEED")
    assert ask(client, "lab", files=[as_file(tmp_path / "slow")], resample=True).json()["valid"]

    (tmp_path / "p").write_bytes(b"obspy.core.stream" + pickle.dumps(Harmful()))
    assert "pickled Stream" in ask(client, "lab", files=[as_file(tmp_path / "p")]).json()["error"]
    assert "unpickled" not in capfd.readouterr().out
    folder = next(path for path in sorted((events / "raw").iterdir()) if path.is_dir())
    files = [as_file(path) for path in folder.glob("*.txt")]
    message = ask(client, "dart", files=files).json()["error"]
    assert "expected an origin time for a record with dates, received none" in message


# Damaged and hostile files


def upload(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "b64": base64.b64encode(content).decode()}


@pytest.mark.parametrize("wide", [0, 1])  # CSS 3.0, and NNSA's form of it, a column wider from the first time field on
@pytest.mark.parametrize("pipe", [False, True])
def test_a_file_that_names_another_opens_nothing(client, tmp_path, wide, pipe):
    """A line of a wfdisc that names a file of the server's machine (2000 samples of i4); reading a pipe would hang."""
    if pipe:
        os.mkfifo(tmp_path / "secret")
    else:
        (tmp_path / "secret").write_bytes(np.random.default_rng(0).bytes(8000))
    fields = {0: "STA", 7: "BHZ", 16 + wide: "1000000000.00000", 61 + 2 * wide: "1000000000.00020", 79 + wide: "2000"}
    fields |= {88 + wide: "10000000.00", 100 + wide: "1.0", 117 + wide: "1.0", 143 + wide: "i4"}
    fields |= {148 + wide: str(tmp_path), 213 + wide: "secret", 246 + wide: "0"}
    line = bytearray(b" " * (283 + 4 * wide) + b"\n")
    for column, text in fields.items():
        line[column : column + len(text)] = text.encode()
    answer = ask(client, "lab", files=[upload("x.wfdisc", bytes(line))], resample=True)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("x.wfdisc: expected miniSEED, SAC, GSE2, SEG-Y or SEG-2")


def test_hdf5_reads_no_other_file_and_does_not_swell(client, tmp_path):
    def refusal(make) -> str:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            make(file)
        answer = ask(client, "dart", files=[upload("46404.h5", (tmp_path / "x.h5").read_bytes())])
        assert answer.status_code == 400
        return answer.json()["error"]

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.arange(200.0).reshape(100, 2)
    (tmp_path / "raw").write_bytes(np.arange(200.0).tobytes())

    def link(file: h5py.File) -> None:
        file["observed/46404/data"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "data")

    def storage(file: h5py.File) -> None:
        place = [(str(tmp_path / "raw"), 0, 1600)]
        file.create_dataset("observed/46404/data", (100, 2), "f8", external=place)

    def swelling(file: h5py.File) -> None:  # 240 MB of zeros
        options = {"chunks": (100_000, 2), "compression": "gzip"}
        file.create_dataset("observed/46404/data", (15_000_000, 2), "f8", **options)

    assert "received expected data in the file itself" in refusal(link)
    assert "received expected data in the file itself" in refusal(storage)
    assert refusal(swelling) == "46404.h5: expected to need at most 512 MB of memory, received more: given up"
    assert (tmp_path / "x.h5").stat().st_size < 20_000


@pytest.fixture
def reader(monkeypatch):
    """Returns a function that replaces the reader in the child process."""
    call = isolated.call

    def put(function, *arguments) -> None:
        monkeypatch.setattr(isolated, "call", lambda _, *given, **limits: call(function, *arguments, **limits))

    return put


def test_a_reader_that_hangs_is_killed_and_others_are_answered_meanwhile(models, raw, tmp_path, reader):
    os.mkfifo(tmp_path / "fifo")
    reader(os.open, str(tmp_path / "fifo"), os.O_RDONLY)
    files = [as_file(sorted((raw / "AE").iterdir())[0], name="x.mseed")]
    answers = []
    with running(models, grpc_port=None, upload_timeout_s=3, max_uploads=3) as where:

        def send() -> None:
            with httpx.Client(base_url=where.url, timeout=60) as client:
                answers.append(ask(client, "lab", files=files))

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        with httpx.Client(base_url=where.url, timeout=60) as client:
            assert ask(client, "lab", example=0).status_code == 200
            assert len(client.get("/page/models").json()) == 3
        for thread in threads:
            thread.join()
    counts = Counter((answer.status_code, answer.json()["error"]) for answer in answers)
    busy = (503, "too many files at one time; 3 are being read")
    assert counts[400, "x.mseed: expected an answer within 3 s, received none: given up"] + counts[busy] == 6
    assert counts[busy] >= 1


def test_a_reader_that_ends_its_process_ends_nothing_else(client, raw, reader):
    files = [as_file(sorted((raw / "AE").iterdir())[0], name="x.mseed")]
    reader(signal.raise_signal, signal.SIGSEGV)
    expected = "x.mseed: expected an answer, received the end of its process (signal SIGSEGV)"
    assert ask(client, "lab", files=files).json()["error"] == expected
    reader(divmod, 1, 0)
    expected = "x.mseed: expected a file that can be read, received ZeroDivisionError"
    assert expected in ask(client, "lab", files=files).json()["error"]
    assert ask(client, "lab", example=0).status_code == 200


# In a browser


@pytest.fixture(scope="module")
def browser():
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture
def opened(browser, server):
    browser.get(server.url)
    until(browser, "return document.body.dataset.ready === 'yes'")
    yield browser
    assert [entry["message"] for entry in browser.get_log("browser") if "400 (Bad" not in entry["message"]] == []


def until(browser, script: str, *arguments, seconds: float = 30.0) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, seconds, 0.05).until(lambda page: page.execute_script(script, *arguments))


def answered(browser, about: str) -> None:
    until(browser, "return document.getElementById('status').textContent.endsWith(arguments[0])", f"about {about}.")


def text(browser, selector: str) -> str:
    return browser.execute_script("return document.querySelector(arguments[0])?.textContent", selector)


def count(browser, selector: str) -> int:
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def choose(browser, model: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", "model")).select_by_visible_text(model)


@pytest.mark.slow
def test_a_chosen_file_is_drawn(opened, client, raw):
    choose(opened, "lab")
    file = sorted((raw / "UP").iterdir())[0]
    opened.find_element("id", "files").send_keys(str(file))
    answered(opened, file.name)
    expected = ask(client, "lab", files=[as_file(file)]).json()
    best = max(entry["value"] for entry in expected["probabilities"])
    assert text(opened, "#answer .result") == f"{expected['class_name']}, probability {100 * best:.1f} %"
    assert text(opened, "#answer .warning") == "This record was judged by 25.6 of 102.4 µs, from 38.4 µs on."
    assert count(opened, "#answer svg[role=img]") == 2 and count(opened, "#answer svg image") == 1
    assert count(opened, "#answer table tr") == 3
    assert len(opened.execute_script("return document.querySelector('svg .curve').getAttribute('d')")) > 1000


@pytest.mark.slow
def test_a_dropped_record_that_can_not_be_used_says_why(opened):
    choose(opened, "lab")
    opened.execute_script(
        "const data = new DataTransfer(); data.items.add(new File(['hello'], 'notes.txt'));"
        "document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true}))"
    )
    until(opened, "return document.getElementById('status').className === 'bad'")
    assert text(opened, "#status").startswith("notes.txt: expected miniSEED, SAC, GSE2, SEG-Y or SEG-2")
    assert opened.execute_script("return document.getElementById('answer').hidden")


@pytest.mark.slow
def test_an_example_of_an_event_is_drawn_by_keyboard_alone(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(opened).send_keys(*keys).perform()

    def focused() -> str:
        return opened.execute_script("return document.activeElement.id || document.activeElement.textContent")

    press(Keys.TAB)
    assert focused() == "model"
    press("d")
    assert opened.execute_script("return document.getElementById('model').value") == "dart"
    press(Keys.TAB)
    assert focused() == "files"
    press(Keys.TAB)
    assert focused() == "origin"
    press(Keys.TAB)
    title = focused()
    assert title.startswith("Simulated Mw ")
    press(Keys.ENTER)
    answered(opened, title)
    assert focused() == "answer"
    assert re.fullmatch(r"Mw \d\.\d\d \(80 %: .* to .*\), simulated with \d\.\d\d", text(opened, "#answer .result"))
    assert count(opened, "#answer svg polygon.source") == 31
    assert count(opened, "#answer svg .band") == 7  # six gauges and the key
    assert count(opened, "#answer svg circle.buoy") == 3
    assert count(opened, "#answer svg circle.dot") > 90
    assert count(opened, "#answer details tr") == 32
    named = "return [...document.querySelectorAll('#answer svg[role=img]')].every((svg) => svg.ariaLabel.length > 10)"
    assert opened.execute_script(named)


@pytest.mark.slow
def test_it_fits_a_phone(opened):
    size = {"width": 375, "height": 700, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for model in ("lab", "dart"):
            choose(opened, model)
            opened.execute_script("document.querySelector('#examples button').click()")
            until(
                opened,
                "return document.getElementById('status').textContent.startsWith(arguments[0])",
                f"Answer of {model}",
            )
            assert opened.execute_script("return document.documentElement.scrollWidth") == 375
            small = "return [...document.querySelectorAll('button, select')].filter((b) => b.offsetHeight < 40).length"
            assert opened.execute_script(small) == 0
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_a_model_without_records_offers_nothing_to_drop(opened):
    choose(opened, "toy")
    for field in ("drop", "origin-field", "resample-field", "examples-field"):
        assert opened.execute_script("return document.getElementById(arguments[0]).hidden", field), field
    assert "This model takes no records" in text(opened, "#about")
