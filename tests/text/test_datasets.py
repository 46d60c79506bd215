"""The built-in texts; the download is tested against a server on this machine alone."""

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from pydoc_data.topics import topics
from threading import Thread

import pytest

from elman.errors import ElmanError
from elman.storage import cache_dir
from elman.text import datasets
from elman.text.datasets import BUILTIN_CORPORA, _fetch

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(HTTPServer):
    """Serves CONTENT at `url` and nothing else, and counts what it was asked for."""

    requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/input.txt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path != "/input.txt":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Say nothing: the download has to be quiet, and a test reads what was printed."""


@contextmanager
def serving() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the download belongs; its folder does not exist yet."""
    return tmp_path / "cache" / "shakespeare.txt"


def test_a_text_is_downloaded_once(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert _fetch(server.url, SHA256, file) == CONTENT
    assert _fetch(server.url, SHA256, file) == CONTENT
    assert server.requests == 1
    assert list(file.parent.iterdir()) == [file]
    assert capfd.readouterr() == ("", "")


def test_a_file_put_there_by_hand_needs_no_server_unless_it_is_damaged(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    assert _fetch("http://127.0.0.1:0/", SHA256, file) == CONTENT
    file.write_bytes(CONTENT[:10])
    with serving() as server:
        assert _fetch(server.url, SHA256, file) == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "reason"),
    [("", "0" * 64, "SHA-256 mismatch"), (".gone", SHA256, "HTTPError"), (None, SHA256, "ConnectionError")],
)
def test_a_failed_download_is_refused_and_nothing_kept(file: Path, path: str | None, sha256: str, reason: str) -> None:
    with serving() as server, socket.socket() as deaf:
        # Bound, so that nobody else has the port, and not listening, so that it refuses.
        deaf.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{deaf.getsockname()[1]}/input.txt"
        url = closed if path is None else server.url + path
        expected = f"cannot download {url} ({reason}): use your own file or python-docs, or save the file as {file}"
        with pytest.raises(ElmanError, match=f"^{re.escape(expected)}$"):
            _fetch(url, sha256, file)
    assert list(file.parent.iterdir()) == []


def test_shakespeare_is_fetched_into_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(url: str, sha256: str, path: Path) -> bytes:
        assert url.startswith("https://")
        assert len(bytes.fromhex(sha256)) == 32
        assert path == tmp_path / "shakespeare.txt"
        return CONTENT

    monkeypatch.setattr(datasets, "_fetch", fetch)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    assert BUILTIN_CORPORA["shakespeare"]() == CONTENT


def test_without_a_variable_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELMAN_CACHE", raising=False)
    assert cache_dir().is_absolute()
    assert "elman" in cache_dir().parts


def test_python_docs_are_the_topics_in_order() -> None:
    assert list(BUILTIN_CORPORA) == ["python-docs", "shakespeare"]
    text = BUILTIN_CORPORA["python-docs"]().decode("utf-8")
    assert text.startswith(topics[min(topics)] + "\n")
    assert text.endswith("\n" + topics[max(topics)])
    assert len(text) == sum(map(len, topics.values())) + len(topics) - 1


def test_importing_the_package_imports_no_downloader() -> None:
    code = "import sys, elman.text; assert not {'pooch', 'requests', 'platformdirs'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
