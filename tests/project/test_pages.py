"""Commands and Python of the pages are carried out in their order: README, tutorials, the guide on anomalies."""

import contextlib
import functools
import io
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.apps.course.faults import load_solution
from elman.text import sources
from support.cli import Command
from support.state import ROOT, TEXT

DOCS = ROOT / "docs"
SMALL: dict[str, Any] = {"hidden_size": 4, "layers": 1, "engine": "numpy", "seq_length": 5, "batch_size": 1}
PLAY = (TEXT + "ROMEO: But soft, what light through yonder window breaks? To be, or not to be\n") * 20
NAMES = "\n".join(first + second + third for first in "abel" for second in "elan" for third in "nora")
NOT_RUN = ("python3 -m venv", "pip install", "elman serve")
"""The environment and the server, which tests of their own set up."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def commands(page: Path) -> list[str]:
    return [line.partition("  #")[0] for block in blocks(page, "sh") for line in block.splitlines()]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "index.md", *(DOCS / "tutorials").glob("*.md")], ids=lambda page: page.stem
)
def test_the_commands_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    """Networks and numbers are made small; `shakespeare` is another text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sources.BUILTIN_CORPORA, "shakespeare", PLAY.encode)
    for name, value in {**SMALL, "max_updates": 3}.items():
        monkeypatch.setenv(f"ELMAN_TRAIN_{name.upper()}", str(value))
    if page.stem == "README":
        for name in ("novel.txt", "README.md"):
            Path(name).write_text(PLAY, "utf-8")
    for line in commands(page):
        line = re.sub(r"--(max-updates|validate-every|hidden-size|length) [\d,]+", r"--\1 3", line)
        if not line or line.startswith(NOT_RUN):
            continue
        program, *words = shlex.split(line)
        if program == "curl":  # -o FILE ADDRESS, or -LO ADDRESS
            name = words[1].rpartition("/")[2]
            Path(name).write_text(NAMES if name == "names.txt" else PLAY, "utf-8")
        elif program in ("head", "tail"):
            subprocess.run(line, shell=True, check=True)
        else:
            ended = command(*words)
            assert (program, ended.code) == ("elman", 0), (line, ended.err)


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal = [f"12:{n // 60:02}:{n % 60:02} job {n} is done" for n in range(200)]
    (tmp_path / "normal.log").write_text("\n".join(normal), encoding="utf-8")
    (tmp_path / "new.log").write_text("12:01:01 job 7 is done\n12:01:02 panic: no room\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("logs")
def test_the_guide_finds_the_anomaly(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    page = DOCS / "how_to" / "find_anomalies.md"
    for name, value in {"hidden_size": 16, "quiet": "true"}.items():
        monkeypatch.setenv(f"ELMAN_TRAIN_{name.upper()}", str(value))
    lines = [line.replace("--max-updates 600", "--max-updates 40") for line in commands(page)]
    ended = [command(*shlex.split(line)[1:]) for line in lines if line.startswith("elman ")]
    assert [each.code for each in ended] == [0, 1, 0, 1]
    for each in ended[1::2]:
        assert [row.split("\t")[2] for row in each.out.splitlines()[1:]] == ["true", "false"]
        assert "panic" in each.out.splitlines()[1]
    (code,), names = blocks(page, "py"), dict[str, Any]()
    exec(code.replace("contamination=0.01", "contamination=0.01, max_updates=40"), names)
    assert names["detector"].predict(names["new"]).tolist() == [1, -1]


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sources.BUILTIN_CORPORA, "shakespeare", PLAY.encode)
    monkeypatch.setattr(elman, "train", functools.partial(elman.train, **SMALL, max_updates=3))
    (code,) = blocks(ROOT / "README.md", "python")
    exec(code, {})


PRINTS = re.compile(r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.M | re.S)
"""Code, and its output."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
ROUNDING = 1e-8
"""A smaller number is a rounding error, which differs from machine to machine."""


def agree(printed: str, expected: str, varies: bool = False) -> bool:
    """Return whether two outputs are the same but for the last digits of their numbers, or for all where they vary."""
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, expected)]
    words = [NUMBER.sub("#", text).split() for text in (printed, expected)]
    return words[0] == words[1] and all(
        varies or math.isclose(a, b, rel_tol=0.05) or max(abs(a), abs(b)) < ROUNDING
        for a, b in zip(*numbers, strict=True)
    )


@pytest.mark.parametrize("name", ["from_recurrence_to_network", "lab"])
def test_the_code_prints_what_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = PRINTS.findall((DOCS / "tutorials" / f"{name}.md").read_text("utf-8"))
    names: dict[str, Any] = {"__name__": name, **(load_solution("train") if name == "lab" else {})}
    assert sum(bool(expected) for _, expected in cells) > 5
    is_other_text = False
    for source, expected in cells:
        is_other_text |= '"python-docs"' in source and sys.version_info[:2] != (3, 11)  # Python's help topics
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, name, "exec"), names)
        assert not expected or agree(printed.getvalue(), expected, is_other_text), f"{source}\n{printed.getvalue()}"
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_compared() -> None:
    for printed, expected in (("W 8e-17\n", "W 1e-16\n"), ("loss 27.7544", "loss 27.7545")):
        assert agree(printed, expected)
    for printed, expected in (("W 8e-02", "W 8e-17"), ("27", "30"), ("True", "False"), ("True\nTrue", "True")):
        assert not agree(printed, expected)
