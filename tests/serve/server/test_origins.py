"""Requests of other sites' web pages are refused on every route; programs and the server's page are answered."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess

import pytest

from seis_tf.serve.local_server import running
from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.origins import Origins
from seis_tf.settings.serving import ServerSettings

ROUTES = [
    ("POST", "/v1/models/toy:predict"), ("GET", "/v1/models/toy"), ("GET", "/v1/models/toy/metadata"), ("GET", "/"),
    ("GET", "/static/page.js"), ("GET", "/page/models"), ("POST", "/page/answer"), ("GET", "/openapi.json"),
    ("GET", "/monitoring/prometheus/metrics"), ("GET", "/none"), ("OPTIONS", "/v1/models/toy:predict"),
]  # fmt: skip
BODY = json.dumps({"instances": [[0, 0, 0, 0]]})


@pytest.fixture(scope="module")
def where(toy_models):
    with running(toy_models, grpc_port=None) as where:
        yield where


def ask(where, method: str = "POST", path: str = "/v1/models/toy:predict", body: str = BODY, **headers: str):
    """Status and content; headers as they are given, `_` for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", where.rest_port, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body if method == "POST" else None, given)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_a_page_of_another_site(where, method, path):
    for headers in (
        {"Host": "evil.example"},  # DNS rebinding: the page's name, this server's address
        {"Host": f"127.0.0.1.evil.example:{where.rest_port}"},
        {"Host": "localhost@evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},  # a sandboxed frame, a local file
        {"Origin": "http://localhost:1"},  # another server on this machine
        {"Origin": f"http://127.0.0.1.evil.example:{where.rest_port}"},
        {"Origin": "http://[", "Content_Type": "text/plain"},
    ):
        status, content = ask(where, method, path, **headers)
        assert status == 403, headers
        name = next(iter(headers))
        assert json.loads(content)["error"].startswith(f"{name}: expected ")


def test_a_simple_form_of_another_site_without_origin_is_refused(where):
    # Requests that need no preflight, from a browser that sends Sec-Fetch-Site but no Origin.
    status, content = ask(where, Content_Type="text/plain", Sec_Fetch_Site="cross-site")
    assert status == 403 and "Sec-Fetch-Site: expected same-origin or none" in content
    # Links on other sites to the page work.
    assert ask(where, "GET", "/", Sec_Fetch_Site="cross-site")[0] == 200


def test_the_pages_questions_need_the_header_of_its_script(where):
    question = json.dumps({"model": "toy", "example": 0})
    status, content = ask(where, "POST", "/page/answer", question, Content_Type="text/plain")
    assert status == 403 and "x-requested-with: expected this header" in content
    status, content = ask(where, "POST", "/page/answer", question, X_Requested_With="seis_tf")
    assert status == 400 and "expected a model that takes records" in content


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_programs_and_the_page_itself_are_answered(where, name):
    for host in (name, f"{name}:{where.rest_port}", f"{name}:1"):  # a forwarded port is another one
        assert ask(where, Host=host)[0] == 200
        assert ask(where, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl_is_answered(where):
    command = ["curl", "--silent", "--noproxy", "*", "--data", BODY, f"{where.url}/v1/models/toy:predict"]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout) == {"predictions": [[3.0] * 4]}


def test_further_names_are_allowed(toy_models):
    with running(toy_models, grpc_port=None, allow_hosts=("models.example", "app.example:3000")) as where:
        assert ask(where, Host="models.example")[0] == 200
        assert ask(where, Host="models.example", Origin="https://models.example")[0] == 200
        assert ask(where, Host="localhost", Origin="http://app.example:3000")[0] == 200
        assert ask(where, Host="localhost", Origin="http://app.example:3001")[0] == 403
        assert ask(where, Host="app.example")[0] == 403


def check(host: str, *, listens: str, origin: str | None = None) -> bool:
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    try:
        Origins(ServerSettings(host=listens)).check({"method": "POST", "headers": headers})
    except Refused as err:
        assert err.code == "PERMISSION_DENIED" and err.http_status == 403
        return False
    return True


def test_the_names_follow_from_the_address():
    assert check("10.0.0.5:8501", listens="10.0.0.5") and check("lab.example", listens="lab.example")
    assert not check("10.0.0.6:8501", listens="10.0.0.5")
    # On all addresses: any numeric address, as DNS rebinding needs a name, and the machine's name.
    for host in ("10.0.0.6:8501", "[fe80::1]:8501", socket.gethostname(), "localhost"):
        assert check(host, listens="0.0.0.0") and check(host, listens="::")
        assert check(host, listens="0.0.0.0", origin=f"http://{host.lower()}")
    assert not check("evil.example", listens="0.0.0.0")
    assert not check("10.0.0.6:8501", listens="0.0.0.0", origin="http://10.0.0.7:8501")


def test_a_header_that_comes_twice_is_no_name():
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    with pytest.raises(Refused, match="received 'localhost, evil.example'"):
        Origins(ServerSettings()).check({"method": "GET", "headers": headers})
