"""The commands that compress and decompress."""

import io
import json
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import quote
from elman.inference import codec
from elman.text import Corpus
from support.cli import exit_code
from support.state import TEXT

DATA = (TEXT * 5).encode() + b"\xff\r\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a tiny network."""
    out = tmp_path_factory.mktemp("run")
    elman.train(
        Corpus.from_text(TEXT), out=out, preset="reference", hidden_size=5, seq_length=5, max_updates=30, sample_every=0
    )
    return out


@pytest.mark.parametrize("more", [[], ["--mode", "static"], ["--mode", "MIXTURE"]])
def test_there_and_back(
    run: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_bytes(DATA)
    assert exit_code("compress", "notes.txt", "-m", run, "--json", *more) == 0
    figures = json.loads(capsys.readouterr().out)
    size = Path("notes.txt.elm").stat().st_size
    assert figures == {
        "bytes": len(DATA), "compressed_bytes": size, "chars": len(DATA), "bits_per_char": 8 * size / len(DATA),
        "ratio": len(DATA) / size,
    }  # fmt: skip
    assert exit_code("decompress", "notes.txt.elm", "--model", run, "--out", "back.txt") == 0
    assert Path("back.txt").read_bytes() == DATA
    Path("notes.txt").unlink()
    assert exit_code("decompress", "notes.txt.elm", "-m", run) == 0
    assert Path("notes.txt").read_bytes() == DATA


def test_characters_are_counted_as_eval_counts_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_bytes("a café,\n".encode() * 9 + b"\xff\xc3")
    assert exit_code("compress", tmp_path / "text", "-m", run, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["bytes"], figures["chars"]) == (9 * 9 + 2, 8 * 9 + 2)
    assert figures["bits_per_char"] == 8 * figures["compressed_bytes"] / figures["chars"]


class Standard(io.TextIOWrapper):
    """Standard input or output of bytes."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        self.bytes = io.BytesIO(data)
        super().__init__(self.bytes)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def written(self) -> bytes:
        self.flush()
        return self.bytes.getvalue()


def test_through_pipes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DATA
    for command in ("compress", "decompress"):
        out = Standard()
        monkeypatch.setattr("sys.stdin", Standard(data))
        monkeypatch.setattr("sys.stdout", out)
        assert exit_code(command, "-", "-m", run) == 0
        data = out.written
    assert data == DATA


def test_an_empty_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert exit_code("compress", empty, "-m", run) == 0
    assert "none" in capsys.readouterr().out
    assert exit_code("decompress", f"{empty}.elm", "-m", run, "--out", empty) == 0
    assert empty.read_bytes() == b""


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """Run a command that is refused, and return the one line."""
    assert exit_code(*arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def test_no_file_is_replaced_unasked(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, file = tmp_path / "a.txt", tmp_path / "a.txt.elm"
    text.write_bytes(DATA)
    file.write_bytes(b"mine")
    assert "already exists; remove it, or pass --out to replace it" in refused(capsys, "compress", text, "-m", run)
    assert file.read_bytes() == b"mine"
    assert exit_code("compress", text, "-m", run, "--out", file) == 0
    assert "already exists" in refused(capsys, "decompress", file, "-m", run)
    assert "must end in .elm" in refused(capsys, "decompress", text, "-m", run)
    assert "must end in .elm" in refused(capsys, "decompress", ".elm", "-m", run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_signal_leaves_no_temporary_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals, code: int
) -> None:
    def begin(*_: object) -> Iterator[bytes]:
        yield b"beginning"
        assert len([*tmp_path.iterdir()]) == 2
        signal.raise_signal(number)

    (tmp_path / "text").write_bytes(DATA)
    monkeypatch.setattr(codec, {"compress": "compress_pieces", "decompress": "decompress_members"}[command], begin)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert exit_code(command, tmp_path / "text", "-m", run, "--out", tmp_path / "out", "-q") == code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_the_size_of_the_original_is_limited(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zeros").write_bytes(bytes(3000))
    assert exit_code("compress", tmp_path / "zeros", "-m", run) == 0
    arguments = ("decompress", tmp_path / "zeros.elm", "-m", run, "--out", tmp_path / "back", "--max-output")
    capsys.readouterr()
    assert exit_code(*arguments, 2999) == 2
    assert "more than --max-output 2,999: pass a larger --max-output if" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()
    assert exit_code(*arguments, 3000) == 0
    assert (tmp_path / "back").read_bytes() == bytes(3000)


def test_neither_what_is_read_nor_the_network_is_replaced(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, file, checkpoint = tmp_path / "a.txt", tmp_path / "a.txt.elm", run / "checkpoint.safetensors"
    text.write_bytes(DATA)
    assert exit_code("compress", text, "-m", run) == 0
    before = file.read_bytes(), checkpoint.read_bytes()
    for command, read in (("compress", text), ("decompress", file)):
        for model in (run, checkpoint):
            for out in (read, checkpoint, run / "run.json"):
                said = refused(capsys, command, read, "-m", model, "--out", out)
                assert f"--out would replace an input file (got {quote(out)})" in said
    assert (text.read_bytes(), (file.read_bytes(), checkpoint.read_bytes())) == (DATA, before)


def test_what_cannot_be_done_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot read" in refused(capsys, "compress", tmp_path / "nothing", "-m", run)
    archive = (
        f"(a directory): pipe an archive of it, tar cf - {shlex.quote(str(tmp_path))} | elman compress - --out FILE"
    )
    assert archive in refused(capsys, "compress", tmp_path, "-m", run)
    assert "cannot read" in refused(capsys, "compress", "a\0b", "-m", run, "--out", tmp_path / "x")
    assert "pass --out" in refused(capsys, "compress", "-", "-m", run, "--json")
    long = tmp_path / ("x" * 253)  # with its ending, longer than a name may be
    long.write_bytes(DATA)
    assert f"cannot write {quote(Path(f'{long}.elm'))}" in refused(capsys, "compress", long, "-m", run)
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdin", None)
        assert "standard input is closed" in refused(capsys, "compress", "-", "-m", run)
        assert "standard input is closed" in refused(capsys, "decompress", "-", "-m", run)
    text = tmp_path / "a.elm"
    text.write_bytes(DATA)
    assert "not a file written by elman compress" in refused(capsys, "decompress", text, "-m", run)
    assert "there is no checkpoint" in refused(capsys, "compress", text, "-m", tmp_path / "none")
    monkeypatch.setattr("sys.stdout", Standard(terminal=True))
    assert "cannot write binary data to a terminal" in refused(capsys, "compress", text, "-m", run, "--out", "-")
