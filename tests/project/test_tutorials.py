"""The code of the tutorials runs from top to bottom: the Python prints what the pages say, the commands end well."""

import contextlib
import functools
import io
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.text import sources
from support.cli import Command
from support.state import ROOT, TEXT

PAGES = [ROOT / "docs" / "tutorials" / f"{name}.md" for name in ("from_recurrence_to_network", "lab")]
BLOCKS = re.compile(
    r"^```python\n(.*?)^```\n(?:\n(<!-- varies -->\n)?^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
"""Code; whether the numbers of its output vary from machine to machine, as those of chaotic training; the output."""
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_prints_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks, names = BLOCKS.findall(page.read_text("utf-8")), {"__name__": page.stem}
    assert sum(bool(expected) for *_, expected in blocks) > 5
    for source, varies, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, page.name, "exec"), names)
        assert not expected or agree(printed.getvalue(), expected, bool(varies)), f"{source}\n{printed.getvalue()}"
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    page: [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
        for line in block.splitlines()
    ]
    for page in [ROOT / "docs" / "index.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
}
SMALL: dict[str, Any] = {"hidden_size": 4, "layers": 1, "engine": "numpy", "seq_length": 5, "batch_size": 1}
PLAY = (TEXT + "ROMEO: But soft, what light through yonder window breaks? To be, or not to be\n") * 20
NOT_RUN = ("pip install", "python3 -m venv", "elman serve")
"""The environment and the server, which tests of their own set up."""


@pytest.mark.parametrize("page", [page for page in COMMANDS if COMMANDS[page]], ids=lambda page: page.stem)
def test_the_commands_run_in_an_empty_folder(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """Networks and numbers of updates are made small; `shakespeare` is another text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sources.BUILTIN_CORPORA, "shakespeare", PLAY.encode)
    for name, value in {**SMALL, "max_updates": 3}.items():
        monkeypatch.setenv(f"ELMAN_TRAIN_{name.upper()}", str(value))
    for line in COMMANDS[page]:
        if line.startswith(NOT_RUN):
            continue
        line = re.sub(r"--(max-updates|validate-every|hidden-size) [\d,]+", r"--\1 3", line.partition("  #")[0])
        program, *words = shlex.split(line)
        if program == "python":  # -c CODE > FILE
            _, code, _, path = words
            with Path(path).open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
                exec(code, {})
        else:
            ended = command(*words)
            assert (program, ended.code) == ("elman", 0), (line, ended.err)


def test_the_python_of_the_first_lesson_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sources.BUILTIN_CORPORA, "shakespeare", PLAY.encode)
    monkeypatch.setattr(elman, "train", functools.partial(elman.train, **SMALL))
    (code,) = re.findall(r"^```py\n(.*?)^```", (PAGES[0].parent / "first_model.md").read_text("utf-8"), re.M | re.S)
    exec(code.replace("max_updates=1000", "max_updates=3"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_tutorial_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("W 8e-17\n", "W 1e-16\n", True),
        ("loss 27.7544", "loss 27.7545", True),
        ("W 8e-02", "W 8e-17", False),
        ("loss 27", "loss 30", False),
        ("True", "False", False),
        ("True\nTrue", "True", False),
    ],
)
def test_outputs_are_compared(printed: str, expected: str, same: bool) -> None:
    assert agree(printed, expected) is same
