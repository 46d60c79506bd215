"""The commands that compress and decompress."""

import io
import json
import lzma
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import elman
from elman.apps.compress import codec
from elman.apps.compress.container import MODES
from elman.errors import quote
from elman.machine import HANGUP
from elman.model.loading import load_builtin
from support.cli import Command, assert_refused, exit_code
from support.codec_models import make_model
from support.small_blocks import small_blocks
from support.state import TEXT

DATA = (TEXT * 5).encode() + b"\xff\r\n"


@pytest.mark.parametrize("more", [[], ["--mode", "static"], ["--mode", "MIXTURE"]])
def test_there_and_back(run: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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


def test_characters_are_counted_as_by_eval(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_bytes("a café,\n".encode() * 9 + b"\xff\xc3")
    assert exit_code("compress", tmp_path / "text", "-m", run, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["bytes"], figures["chars"]) == (9 * 9 + 2, 8 * 9 + 2)
    assert figures["bits_per_char"] == 8 * figures["compressed_bytes"] / figures["chars"]


class Standard(io.TextIOWrapper):
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


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), *([(HANGUP, 129)] if HANGUP else []), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_signal_leaves_no_temporary_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals, code: int
) -> None:
    def begin(*_: object) -> Iterator[bytes]:
        yield b"beginning"
        assert len([*tmp_path.iterdir()]) == 4
        signal.raise_signal(number)

    (tmp_path / "text").write_bytes(DATA)
    monkeypatch.setattr(codec, {"compress": "compress_pieces", "decompress": "decompress_members"}[command], begin)
    handlers = {each: signal.signal(each, signal.SIG_DFL) for each in filter(None, (signal.SIGTERM, HANGUP))}
    try:
        assert exit_code(command, tmp_path / "text", "-m", run, "--out", tmp_path / "out", "-q") == code
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert {path.name for path in tmp_path.iterdir()} == {"text", "novel.txt", "run"}


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


def test_what_the_system_refuses(run: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 253)  # with its ending, longer than a name may be
    long.write_bytes(DATA)
    assert_refused(command("compress", long, "-m", run), f"cannot write {quote(Path(f'{long}.elm'))}")
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdin", None)
        for name in ("compress", "decompress"):
            assert_refused(command(name, "-", "-m", run), "standard input is closed")
    monkeypatch.setattr("sys.stdout", Standard(terminal=True))
    ended = command("compress", long, "-m", run, "--out", "-")
    assert (ended.code, "cannot write binary data to a terminal" in ended.err) == (2, True)


ENGLISH = (
    "It was the end of the summer, and the garden was quiet. My father had gone to the town in the morning with the\n"
    "old horse, and we did not think that he would be back before the evening.\n"
)


@pytest.mark.usefixtures("folder")
def test_the_built_in_model_is_the_default(command: Command) -> None:
    Path("notes.txt").write_text(ENGLISH, "utf-8")
    assert command("compress", "notes.txt").code == 0
    assert command("compress", "notes.txt", "-m", "builtin", "-o", "b").code == 0
    file = Path("notes.txt.elm").read_bytes()
    assert file == Path("b").read_bytes()
    assert len(file) < 0.5 * len(lzma.compress(ENGLISH.encode(), preset=9))
    assert command("decompress", "notes.txt.elm", "-o", "back.txt").code == 0
    assert elman.decompress(file, load_builtin()) == Path("back.txt").read_bytes() == ENGLISH.encode()


@pytest.mark.usefixtures("folder")
def test_a_file_of_another_model_is_refused(command: Command) -> None:
    file = elman.compress(ENGLISH, make_model())
    Path("notes.txt.elm").write_bytes(file)
    ended = command("decompress", "notes.txt.elm", "-o", "back.txt")
    assert_refused(ended, "was not compressed by the built-in model of this version", "pass the run that compressed it")
    assert not Path("back.txt").exists()


@pytest.fixture
def slow(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.cli.display.line_interval", lambda elapsed: 0.0)
    monkeypatch.setattr("elman.apps.compress.predictor.MAX_TOKENS", 1)


COMPRESS = ("compress", "novel.txt", "-m", "run", "-o", "novel.elm")
DECOMPRESS = ("decompress", "novel.elm", "-m", "run", "-o", "back.txt")


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("mode", MODES)
def test_commands_show_progress(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    capsys.readouterr()
    with small_blocks():
        for command in ((*COMPRESS, "--mode", mode), DECOMPRESS):
            assert exit_code(*command) == 0
            percentages = [
                int(found) for found in re.findall(r"ing.*: (\d+) %(?:, 0:00:\d\d left)?\n", capsys.readouterr().err)
            ]
            assert len(percentages) >= 21
            assert percentages == sorted(percentages)
            assert percentages[-1] == 100


@pytest.mark.usefixtures("slow")
def test_no_progress_with_quiet_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for command in ((*COMPRESS, "-q"), (*DECOMPRESS, "-q"), (*COMPRESS, "--json")):
        assert exit_code(*command) == 0
    assert capsys.readouterr().err == ""
