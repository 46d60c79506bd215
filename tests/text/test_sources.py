"""Sources of a text: files, directories, patterns, built-in texts and standard input, and what is none."""

import gzip
import hashlib
import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from pydoc_data.topics import topics
from threading import Thread
from types import SimpleNamespace

import pytest

from elman.errors import ElmanError
from elman.storage import cache_dir, writable_cache_dir
from elman.text import has_piped_text, read_corpus, sources
from elman.text.sources import BUILTIN_CORPORA, _fetch, inspect_standard_input
from support.texts import NOISE, refused, write

SKIPPED = "; hidden files and run directories are skipped"
"""The end of the line where nothing is left to read."""


def test_a_builtin_wins_over_a_file_and_a_path_over_both(folder: Path) -> None:
    for name in ("python-docs", "-"):
        write(name, b"of my own")
        assert read_corpus(Path(name)).text == "of my own"
        assert read_corpus(f"./{name}").text == "of my own"
        assert read_corpus(str(folder / name)).text == "of my own"
    assert read_corpus("python-docs").text != "of my own"


def test_a_directory_is_read_in_sorted_order(folder: Path) -> None:
    for name in ("b.txt", "a/2.md", "a/1.txt.gz", "run/run.json", "run/checkpoint.safetensors", ".git/x", ".hidden"):
        write(f"corpus/{name}", gzip.compress(b"1") if name.endswith("gz") else name.encode())
    for name, data in (("a/noise", NOISE), ("a/p.png", b"\x89PNG\r\n\x1a\n"), ("z.bin", bytes(99))):
        write(f"corpus/{name}", data)
    Path("corpus/again").symlink_to(folder / "corpus" / "a", target_is_directory=True)
    Path("corpus/link").symlink_to("b.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo("corpus/pipe")
    corpus = read_corpus("corpus")
    assert corpus.text == "1\na/2.md\nb.txt\nb.txt"
    assert (corpus.name, corpus.skipped) == ("corpus", 3)
    names = ["a/1.txt.gz", "a/2.md", "b.txt", "link"]
    assert [file.path for file in corpus.files] == [str(folder / "corpus" / name) for name in names]
    assert read_corpus(Path("corpus")).sha256 == read_corpus("../" + folder.name + "/corpus/").sha256 == corpus.sha256


def test_what_cannot_be_read_in_a_directory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write("corpus/secret/a.txt")
    iterdir = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path.name == "secret":  # not by its permissions, which the superuser need not heed
            raise PermissionError(13, "Permission denied", path)
        return iterdir(path)

    write("latin/a.txt", b"caf\xe9")
    assert "at offset 3 of 'latin/a.txt' is not valid utf-8" in refused("latin")
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refused("corpus") == "cannot read the directory 'corpus/secret' (Permission denied)"


def test_patterns_are_expanded() -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt", "d.md", "noise.txt"):
        write(name, NOISE if name == "noise.txt" else name.encode())
    assert (read_corpus("*.txt").text, read_corpus("*.txt").skipped) == ("a.txt\nb.txt", 1)
    assert read_corpus("**/*.txt").text == "a.txt\nb.txt\ndeep/c.txt"
    write("[b].txt", b"as it is called")
    assert read_corpus("[b].txt").text == "as it is called"
    assert refused("*.rst") == f"no file matches '*.rst'{SKIPPED}"


def test_a_pattern_matches_no_file_of_a_run() -> None:
    for name in ("a.txt", "run/run.json", "run/checkpoint.safetensors", "run/logs/1.txt", "deep/b.txt"):
        write(f"texts/{name}", name.encode())
    assert read_corpus("texts/**").text == read_corpus("texts").text == "a.txt\ndeep/b.txt"
    assert refused("texts/*/*.json") == f"no file matches 'texts/*/*.json'{SKIPPED}"
    assert refused("texts/run") == f"there is no file in 'texts/run'{SKIPPED}"
    write("checkpoint.safetensors")
    assert read_corpus("texts/*.txt").text == "a.txt"


def test_a_file_may_have_any_name(folder: Path) -> None:
    for name in ("a line\nfeed/text.txt", "quotes '\".txt", "ä [1]*.txt", "text\t.txt"):
        write(name, b"of my own")
        assert read_corpus(name).text == read_corpus(folder / name).text == "of my own"


def test_where_there_is_nothing_to_read() -> None:
    Path("empty").mkdir()
    assert refused("empty") == f"there is no file in 'empty'{SKIPPED}"
    write("noise/1", NOISE)
    assert refused("noise") == "there is no text file in 'noise': the only file is binary"
    write("a")
    assert refused(["a", "b"]).startswith("there is no file 'b'")


def test_a_broken_link_and_a_file_that_may_not_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    Path("link").symlink_to("nowhere")
    assert "a link to 'nowhere'" in refused("link")
    monkeypatch.setattr(Path, "open", refuse)
    assert refused("novel.txt") == "cannot read 'novel.txt' (Permission denied)"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a\r\nb\xff")))
    corpus = read_corpus("-", encoding="latin-1")
    assert (corpus.name, corpus.text, corpus.newlines_translated) == ("-", "a\nbÿ", ("\r\n",))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a\xff")))
    assert refused("-").startswith("byte 0xff at offset 1 of standard input is not valid utf-8")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert refused("-").startswith("standard input is empty: use a text of at least two")
    monkeypatch.setattr("sys.stdin", None)
    assert refused("-").startswith("standard input is closed: use a file")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pipe in the place of standard input; returns its other end."""
    if sys.platform == "win32":
        pytest.skip("select takes no pipes there")
    reader, writer = os.pipe()
    with os.fdopen(reader, "r", encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        monkeypatch.setattr(sources, "PIPE_SECONDS", 0.0)
        yield writer


def test_a_pipe_is_inspected(pipe: int) -> None:
    assert inspect_standard_input() == "silent pipe"
    os.write(pipe, b"a text")
    assert inspect_standard_input() == "text"
    os.close(pipe)
    assert read_corpus("-").text == "a text"
    assert inspect_standard_input() == "ended pipe"


def test_a_file_is_read_from_its_beginning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    write("list", b"one\ntwo\n")
    with Path("list").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert has_piped_text()
        os.lseek(file.fileno(), 4, os.SEEK_SET)  # as a loop of a shell that reads lines
        assert inspect_standard_input() == "nothing"


def test_what_is_neither_pipe_nor_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open(encoding="utf-8") as null:
        for other in (None, object(), null):
            monkeypatch.setattr("sys.stdin", other)
            assert inspect_standard_input() == "nothing"


CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    """Serves the current folder, and says nothing: a test reads what was printed."""

    requests = 0

    def do_GET(self) -> None:
        Handler.requests += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of the current folder, which has the text."""
    write("input.txt", CONTENT)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_text_is_downloaded_once_and_again_if_it_is_damaged(server: str, capfd: pytest.CaptureFixture[str]) -> None:
    file, before = Path("cache/shakespeare.txt"), Handler.requests
    assert _fetch(f"{server}input.txt", SHA256, file) == _fetch(f"{server}input.txt", SHA256, file) == CONTENT
    assert Handler.requests == before + 1
    assert list(file.parent.iterdir()) == [file]
    assert capfd.readouterr() == ("", "")
    assert _fetch("http://127.0.0.1:0/", SHA256, file) == CONTENT  # as a file that was put there by hand
    file.write_bytes(CONTENT[:10])
    assert _fetch(f"{server}input.txt", SHA256, file) == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "reason"),
    [("input.txt", "0" * 64, "SHA-256 mismatch"), ("gone", SHA256, "HTTPError"), (None, SHA256, "ConnectionError")],
)
def test_a_failed_download_is_refused_and_nothing_kept(server: str, path: str | None, sha256: str, reason: str) -> None:
    file = Path("cache/shakespeare.txt")
    with socket.socket() as deaf:
        # Bound, so that nobody else has the port, and not listening, so that it refuses.
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/" if path is None else server + path
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

    monkeypatch.setattr(sources, "_fetch", fetch)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    assert BUILTIN_CORPORA["shakespeare"]() == CONTENT
    monkeypatch.delenv("ELMAN_CACHE")
    assert cache_dir().is_absolute()
    assert "elman" in cache_dir().parts


def test_a_shared_cache_is_only_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Users who may not write into it get their downloads and temporary files in their own cache."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    monkeypatch.setenv("ELMAN_CACHE", str(shared))
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(own / name))
    monkeypatch.setattr(sources, "_fetch", lambda url, sha256, path: bytes(path))
    assert writable_cache_dir() == shared  # it will be created
    shared.mkdir()
    assert writable_cache_dir() == shared
    monkeypatch.setattr("os.access", lambda path, mode: (path, mode) != (shared, os.W_OK))
    assert writable_cache_dir() == own / "elman"
    assert BUILTIN_CORPORA["shakespeare"]() == bytes(own / "elman" / "shakespeare.txt")
    (shared / "shakespeare.txt").write_bytes(CONTENT)  # put there for all users
    assert BUILTIN_CORPORA["shakespeare"]() == bytes(shared / "shakespeare.txt")


def test_python_docs_are_the_topics_in_order() -> None:
    assert list(BUILTIN_CORPORA) == ["python-docs", "shakespeare"]
    text = BUILTIN_CORPORA["python-docs"]().decode("utf-8")
    assert text.startswith(topics[min(topics)] + "\n")
    assert text.endswith("\n" + topics[max(topics)])
    assert len(text) == sum(map(len, topics.values())) + len(topics) - 1


def test_importing_the_package_imports_no_downloader() -> None:
    code = "import sys, elman.text; assert not {'pooch', 'requests', 'platformdirs'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
