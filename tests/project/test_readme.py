"""The commands and the Python of README.md are carried out in their order, with small networks."""

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.text import sources
from support.cli import Command
from support.state import ROOT, TEXT

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip()
    for language, block in BLOCKS
    for line in block.splitlines()
    if language == "sh" and line.startswith("elman ")
]
SMALL: dict[str, Any] = {
    "hidden_size": 4,
    "layers": 1,
    "max_updates": 3,
    "engine": "numpy",
    "seq_length": 5,
    "batch_size": 1,
}
SMALLER = {"--max-updates 5000": "--max-updates 6", "--length 330": "--length 20"}
SLOW = ("report", "serve", "sweep", "view", "--live")
"""They train many times, or serve until they are stopped; tests of their own carry them out."""
NOVEL = (TEXT + "ROMEO: But soft, what light through yonder window breaks? What say you?\n") * 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the README names, and small networks."""
    for name, value in SMALL.items():
        monkeypatch.setenv(f"ELMAN_TRAIN_{name.upper()}", str(value))
    monkeypatch.setenv("ELMAN_GRADCHECK_POINTS", "8")
    monkeypatch.setenv("ELMAN_GRADCHECK_SEQ_LENGTH", "4")
    monkeypatch.setenv("ELMAN_GRADCHECK_HIDDEN_SIZE", "3")
    monkeypatch.setitem(sources.BUILTIN_CORPORA, "shakespeare", lambda: NOVEL.encode())
    for name in ("novel.txt", "another.txt"):
        (tmp_path / name).write_text(NOVEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_end_without_an_error(folder: Path, command: Command) -> None:
    done = 0
    for line in COMMANDS:
        words = shlex.split(functools.reduce(lambda line, pair: line.replace(*pair), SMALLER.items(), line))
        if not {*words} & {*SLOW}:
            ended = command(*words[1:])
            assert ended.code == 0, (line, ended.err)
            done += 1
    assert done >= 8


def test_the_python_code_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elman, "train", functools.partial(elman.train, **SMALL))
    code = [block for language, block in BLOCKS if language == "python"]
    assert code
    for block in code:
        exec(compile(block, "README.md", "exec"), {})


def test_every_image_has_an_alternative_text() -> None:
    images = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert len(images) >= 2
    assert all(len(text) > 20 for text, _ in images)


def test_it_is_short() -> None:
    assert len(README.split()) <= 900
