"""The server as a process: startup, load, shutdown."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from elman.apps.serve.app import create_app
from elman.apps.serve.models import load_models, make_unique
from elman.apps.serve.server import address_of, listen
from elman.apps.serve.settings import Settings
from elman.errors import ElmanError
from elman.model.loading import BUILTIN
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.server import (
    NAME,
    SlowClient,
    complete,
    error_of,
    get_metric,
    listening,
    send,
    serving,
    tiny,
    wait_for_metric,
)
from support.state import TEXT, T
from support.training import train

LONG: dict[str, Any] = {"prompt": "the ", "max_tokens": 30_000, "logprobs": 5, "stream": True}
"""More than fits between a server and a client that does not read: 10 MB."""
LIMITS = ("--max-tokens", "30000")
WAITING = "shutting down; waiting for 1 request (press Ctrl-C again to stop at once)\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / NAME
    train(Corpus.from_text(TEXT), hidden_size=6, seq_length=T, epochs=5, out=out)
    return out


@contextmanager
def server(run: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run ``elman serve`` on a free port for the duration of the block; yields its process and a client."""
    command = [sys.executable, "-m", "elman", "serve", str(run), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.fullmatch(rf"serving {NAME} at (http://\S+:\d+) \(API at \1/v1; press Ctrl-C to stop\)\n", line)
            assert found, line + process.stdout.read()
            with httpx.Client(base_url=found[1], timeout=30) as client:
                yield process, client
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    assert process.stdout is not None
    return process.wait(20), process.stdout.read()


def test_an_interrupt_ends_it_and_a_second_one_does_not_wait(run: Path) -> None:
    with server(run, *LIMITS) as (process, client):
        assert len(complete(client, max_tokens=100)["choices"][0]["text"]) == 100
        process.send_signal(signal.SIGINT)
        code, printed = ended(process)
        assert (code, printed.replace(WAITING, "")) == (130, "")  # the client may be faster than the end of its request
    with server(run, *LIMITS) as (process, client):
        slow = SlowClient(client, **LONG)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == WAITING
        process.send_signal(signal.SIGINT)
        code, printed = ended(process)
        assert (code, "Traceback" in printed) == (130, False)
        assert b"[DONE]" not in slow.read()


def test_running_requests_are_completed_within_the_timeout(run: Path) -> None:
    with server(run, *LIMITS) as (process, client):
        slow = SlowClient(client, **LONG)
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.readline() == WAITING
        response = slow.read()
        assert response.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert ended(process) == (0, "")
        with pytest.raises(httpx.ConnectError):
            client.get("/health")
    with server(run, *LIMITS, "--shutdown-timeout", "0.2") as (process, client):
        slow = SlowClient(client, **LONG)
        process.terminate()
        code, printed = ended(process)
        assert (code, "Traceback" in printed) == (0, False)
        assert b"[DONE]" not in slow.read()


@pytest.mark.parametrize("stream", [False, True])
def test_requests_that_the_shutdown_cuts_get_503(run: Path, stream: bool) -> None:
    endless = {"max_tokens": 10**9, "stream": stream}
    limits = ("--max-tokens", "1000000000", "--max-characters", "2000000000", "--shutdown-timeout", "0")
    with server(run, *limits) as (process, client), send(client, {}, missing=100) as unsent:
        with send(client, endless | {"seed": 1}) as connection:
            wait_for_metric(client, "elman_sequences_running", 1)
            process.terminate()
            with connection.makefile("rb") as read:
                received = read.read()
            assert received.startswith(b"HTTP/1.1 200 " if stream else b"HTTP/1.1 503 ")
            error = b'{"error":{"message":"the server is shutting down; retry later","type":"server_error",'
            assert error in received[-300:]
            assert b"[DONE]" not in received
        assert unsent.recv(1000).startswith(b"HTTP/1.1 503 ")
        code, printed = ended(process)
        assert (code, "Traceback" in printed) == (0, False)


def test_a_full_queue() -> None:
    with serving(max_batch_size=1, max_queued_requests=1, max_tokens=30_000) as client:
        slow = [SlowClient(client, **LONG) for _ in range(2)]
        refused = client.post("/v1/completions", json={"model": NAME})
        error_of(refused, 429, "queue_full")
        assert refused.headers["retry-after"] == "1"
        slow[0].socket.close()
        wait_for_metric(client, "elman_requests_in_progress", 1)
        assert complete(client)
        slow[1].socket.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_frees_its_slot(stream: bool) -> None:
    with serving(max_batch_size=1, max_tokens=10**7, max_characters=10**8) as client:
        with send(client, {"prompt": "the ", "max_tokens": 10**7, "stream": stream}):
            wait_for_metric(client, "elman_sequences_running", 1)
        wait_for_metric(client, "elman_sequences_running", 0)
        assert get_metric(client, "elman_client_disconnects_total", endpoint="/v1/completions") == 1
        assert complete(client)


def test_a_client_that_stops_reading_counts_as_disconnected() -> None:
    limits: dict[str, Any] = {"max_batch_size": 1, "max_queued_requests": 0, "send_timeout": 0.2}
    with serving(**limits, max_tokens=31_000) as client:
        slow = SlowClient(client, **LONG)
        wait_for_metric(client, "elman_client_disconnects_total", 1)
        assert complete(client)
        if Path("/proc/net/tcp").exists():
            ports = client.base_url.port, slow.socket.getsockname()[1]
            for _ in range(2000):
                if not is_established(*ports):
                    break
                time.sleep(0.01)
            else:
                pytest.fail("the connection is still open")
        assert b"[DONE]" not in slow.read()


def is_established(*ports: int | None) -> bool:
    """Whether the system has a connection between two local ports, by the table of proc(5)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]]
    return [*ports] in [[int(address.rpartition(":")[2], 16) for address in row[1:3]] for row in rows if row[3] == "01"]


def test_a_malformed_body_is_refused_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as client, socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        assert client.get("/health").status_code == 200
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_a_body_that_does_not_arrive(caplog: pytest.LogCaptureFixture) -> None:
    with serving(body_timeout=0.1) as client, send(client, {}, missing=100) as slow:
        assert slow.recv(10_000).startswith(b"HTTP/1.1 408 ")
        send(client, {}, missing=100).close()
        assert complete(client)
    assert caplog.text == ""


WATCHED = """
import sys
from elman.cli import main
found = set()
def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        found.add(repr((event, arguments[-2 if event == "socket.connect" else 0:])))
sys.addaudithook(hook)
try:
    main(sys.argv[1:])
finally:
    print(sorted(found))
"""


def test_no_other_host_is_contacted_and_the_key_may_come_from_the_environment(run: Path) -> None:
    command = [sys.executable, "-c", WATCHED, "serve", str(run), "--port", "0"]
    environment = os.environ | {"ELMAN_API_KEY": "sesame"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition(" at ")[2].split()[0]
        assert httpx.get(f"{address}/v1/models").status_code == 401
        with httpx.Client(base_url=address, headers={"authorization": "Bearer sesame"}) as client:
            for path in ("/v1/models", "/health", "/metrics", "/openapi.json", "/nowhere"):
                client.get(path)
            complete(client)
        process.terminate()
        code, printed = ended(process)
    assert code == 0
    # Only its own address was looked up, to listen on.
    events = printed.splitlines()[-1]
    assert re.fullmatch(r"""\["\('socket\.getaddrinfo', \('127\.0\.0\.1', 0, [^"]*"\]""", events), printed


def test_an_address_that_cannot_be_used_and_the_url_of_one_that_can(command: Command, run: Path) -> None:
    for host, expected in {"127.0.0.1": "http://127.0.0.1:", "0.0.0.0": "http://localhost:"}.items():
        with listen(host, 0) as taken:
            port = taken.getsockname()[1]
            assert address_of(taken) == f"{expected}{port}"
            message = f"port {port} of 127.0.0.1 is already in use; --port 0 picks a free one"
            assert_refused(command("serve", str(run), "--port", str(port)), message)
    with pytest.raises(ElmanError, match=r"^cannot listen on 192\.0\.2\.1, port 0 \(.*\); change host or port$"):
        listen("192.0.2.1", 0)
    with pytest.raises(ElmanError, match=r"^host='no such' is not an address of this machine"):
        listen("no such", 0)


def test_the_address_that_the_system_prefers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
    with listen("two.test", 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_models_are_named_after_their_directories(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    checkpoint = run / "checkpoint.safetensors"
    assert [*load_models([Path(), checkpoint, run])] == [NAME, f"{NAME}-2", f"{NAME}-3"]
    assert make_unique(["a", "b", "a", "a-2", "a"]) == ["a", "b", "a-2", "a-2-2", "a-3"]
    if sys.platform != "linux":
        pytest.skip("elsewhere the names of files are text")
    bytes_alone = Path(os.fsdecode(os.fsencode(run.parent / "nov") + b"\x80el"))
    shutil.copytree(run, bytes_alone)
    (name,) = load_models([bytes_alone])
    assert name == r"nov\udc80el"
    with listening(create_app({name: tiny()}, Settings())) as client:
        assert get_metric(client, "elman_sequences_running", model=name) == 0
        assert client.get(f"/v1/models/{name}").json()["id"] == name


def test_the_built_in_model_is_served_where_none_is_named() -> None:
    assert list(load_models([])) == list(load_models([Path(BUILTIN)])) == ["builtin"]
