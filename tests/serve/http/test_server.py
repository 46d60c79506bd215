"""The server as a process: startup, load, shutdown."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from elman.cli import main
from elman.serve.api.startup import load_models, make_unique
from elman.serve.app import create_app
from elman.serve.settings import Settings
from elman.text import Corpus
from support.server import NAME, SlowClient, complete, get_metric, listening, serving, tiny, wait_for_metric
from support.state import TEXT, T
from support.training import train

LONG: dict[str, Any] = {"prompt": "the ", "max_tokens": 30_000, "logprobs": 5, "stream": True}
"""More than fits between a server and a client that does not read: 10 MB."""
ROOM = ("--max-tokens", "30000")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory called stormy."""
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
    """Wait for a process; return its exit code and its remaining output."""
    assert process.stdout is not None
    return process.wait(20), process.stdout.read()


# --- Shutdown ---


def test_it_serves_until_it_is_told_to_end(run: Path) -> None:
    with server(run) as (process, client):
        assert len(complete(client, max_tokens=100)["choices"][0]["text"]) == 100
        process.terminate()
        assert ended(process) == (0, "")


def test_what_is_being_written_is_written_to_its_end(run: Path) -> None:
    with server(run, *ROOM) as (process, client):
        slow = SlowClient(client, **LONG)
        process.terminate()
        assert process.stdout is not None
        expected = "shutting down; waiting for 1 request (press Ctrl-C again to stop at once)\n"
        assert process.stdout.readline() == expected
        for request in (("GET", "/health"), ("POST", "/v1/completions")):
            refused = client.request(*request)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["error"]["code"] == "shutting_down"
        answer = slow.read()
        assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert ended(process) == (0, "")


def test_it_does_not_wait_for_ever(run: Path) -> None:
    with server(run, *ROOM, "--shutdown-timeout", "0.2") as (process, client):
        slow = SlowClient(client, **LONG)
        process.terminate()
        code, printed = ended(process)
        assert code == 0
        assert "Traceback" not in printed
        assert b"[DONE]" not in slow.read()


def test_ctrl_c_twice_ends_it_at_once(run: Path) -> None:
    with server(run, *ROOM) as (process, client):
        slow = SlowClient(client, **LONG)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("shutting down; waiting for 1 request ")
        process.send_signal(signal.SIGINT)
        code, printed = ended(process)
        assert code == 130
        assert "Traceback" not in printed
        assert b"[DONE]" not in slow.read()


# --- Load ---


def test_more_clients_than_there_is_room_for() -> None:
    with serving(max_batch_size=8) as client:
        address = str(client.base_url)

        async def ask(http: httpx.AsyncClient, n: int) -> str:
            body = {"model": NAME, "prompt": "the ", "seed": n, "max_tokens": 40}
            answer = await http.post("/v1/completions", json=body)
            return str(answer.json()["choices"][0]["text"])

        async def crowd() -> list[str]:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
                return await asyncio.gather(*(ask(http, n) for n in range(150)))

        expected = [tiny().samples(1, 40, prompt="the ", seed=n)[0] for n in range(150)]
        assert asyncio.run(crowd()) == expected


def test_beyond_its_queue_it_says_so() -> None:
    with serving(max_batch_size=1, max_queued_requests=1, max_tokens=30_000) as client:
        first = SlowClient(client, **LONG)
        second = threading.Thread(target=complete, args=(client,), kwargs={"max_tokens": 5})
        second.start()
        wait_for_metric(client, "elman_texts_waiting", 1)
        refused = client.post("/v1/completions", json={"model": NAME})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        first.socket.close()
        second.join()
        assert complete(client)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(stream: bool) -> None:
    with serving(max_batch_size=1, max_tokens=10**7, max_characters=10**8) as client:
        body = json.dumps({"model": NAME, "prompt": "the ", "max_tokens": 10**7, "stream": stream}).encode()
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as leaving:
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            leaving.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            wait_for_metric(client, "elman_texts_running", 1)
        wait_for_metric(client, "elman_texts_running", 0)
        assert get_metric(client, "elman_clients_left_total", endpoint="/v1/completions") == 1
        assert complete(client)


def test_a_client_that_takes_nothing_counts_as_gone() -> None:
    with serving(max_batch_size=1, max_tokens=30_000, send_timeout=0.2) as client:
        slow = SlowClient(client, **LONG)
        wait_for_metric(client, "elman_clients_left_total", 1)
        assert complete(client)
        assert b"[DONE]" not in slow.read()


def test_a_body_that_takes_too_long() -> None:
    with (
        serving(body_timeout=0.1) as client,
        socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as slow,
    ):
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        answer = slow.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert complete(client)


def test_a_client_that_leaves_before_its_body_has_come(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as leaving:
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            leaving.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert complete(client)
    assert caplog.text == ""


# --- Outgoing connections ---

WATCHED = """
import sys
found = set()
def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        found.add(repr((event, arguments[-2 if event == "socket.connect" else 0:])))
sys.addaudithook(hook)
from elman.cli import main
try:
    main(sys.argv[1:])
finally:
    print(sorted(found))
"""


def test_nobody_else_is_contacted(run: Path) -> None:
    command = [sys.executable, "-c", WATCHED, "serve", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().partition(" at ")[2].split()[0]
        with httpx.Client(base_url=address) as client:
            for path in ("/v1/models", "/health", "/metrics", "/openapi.json", "/nowhere"):
                client.get(path)
            complete(client)
        process.terminate()
        code, printed = ended(process)
    assert code == 0
    # Only its own address was looked up, to listen on.
    assert re.fullmatch(r"""\["\('socket\.getaddrinfo', \('127\.0\.0\.1', 0, [^"]*"\]\n""", printed), printed


# --- Startup ---


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error message of a command that must fail."""
    with pytest.raises(SystemExit) as raised:
        main(["serve", *arguments])
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "error: --port must be from 0 to 65535 (got 65536)"),
        (
            ["--shutdown-timeout", "-1"],
            "error: --shutdown-timeout must be a finite number of at least 0 (got -1.0)",
        ),
        (
            ["--shutdown-timeout", "nan"],
            "error: --shutdown-timeout must be a finite number of at least 0 (got nan)",
        ),
        (["--max-batch-size", "0"], "error: --max-batch-size must be at least 1 (got 0)"),
        (
            ["--host", "0.0.0.0"],
            "error: --host '0.0.0.0' can be reached by other machines and requires --api-key (or ELMAN_API_KEY)",
        ),
        (["nowhere"], "error: "),
    ],
    ids=str,
)
def test_what_it_cannot_start_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.delenv("ELMAN_API_KEY", raising=False)
    assert refused(capsys, *arguments).startswith(message)


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert refused(capsys, str(run), "--port", port).startswith(
            f"error: port {port} of 127.0.0.1 is already in use"
        )


def test_without_its_libraries(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("elman.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'elman[serve]'" in refused(capsys, str(run))


def test_the_key_may_come_from_the_environment(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_API_KEY", "sesame")
    with server(run) as (_, client):
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"authorization": "Bearer sesame"}).status_code == 200


def test_models_are_called_as_their_directories(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    checkpoint = run / "checkpoint.safetensors"
    assert [*load_models([Path(), checkpoint, run])] == [NAME, f"{NAME}-2", f"{NAME}-3"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the names of files are text")
def test_a_name_that_is_no_text_is_written_out(run: Path) -> None:
    bytes_alone = Path(os.fsdecode(os.fsencode(run.parent / "nov") + b"\x80el"))
    shutil.copytree(run, bytes_alone)
    (name,) = load_models([bytes_alone])
    assert name == r"nov\udc80el"
    with listening(create_app({name: tiny()}, Settings())) as client:
        assert get_metric(client, "elman_texts_running", model=name) == 0
        assert client.get(f"/v1/models/{name}").json()["id"] == name


def test_names_are_unique() -> None:
    assert make_unique(["a", "b", "a", "a-2", "a"]) == ["a", "b", "a-2", "a-2-2", "a-3"]
