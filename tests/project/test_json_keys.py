"""The keys of every command's --json are those of the documentation."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.cli import exit_code
from support.state import ROOT, TEXT

PAGE = (ROOT / "docs" / "reference" / "files.md").read_text("utf-8")
TABLE = PAGE.split("## JSON output")[1].split("## Exit codes")[0]
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", TABLE, re.MULTILINE)}
SMALL = ("--preset", "reference", "--hidden-size", 4, "--seq-length", 5, "--max-updates", 20, "--engine", "numpy", "-q")
COMMANDS = {
    "train": ("text.txt", "-o", "new", *SMALL),
    "runs": (".",),
    "gradcheck": ("text.txt", "--hidden-size", 3, "--seq-length", 4, "--engine", "numpy"),
    "eval": ("run", "text.txt"),
    "sample": ("run", "--length", 10),
    "score": ("run", "text.txt"),
    "compress": ("text.txt", "-m", "run", "-o", "text.elm"),
    "cache": (),
    "explain": ("run", "text.txt", "-o", "page.html"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a text, and a run on it."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT * 3, "utf-8")
    assert exit_code("train", "text.txt", "-o", "run", *SMALL) == 0
    return tmp_path


def keys(value: Any) -> set[str]:
    """Return the keys of an object and of the objects in it, except those that are names of arrays or of texts."""
    if isinstance(value, list):
        return set[str]().union(*map(keys, value))
    return {*value}.union(*map(keys, value.values())) if isinstance(value, dict) else set()


def documented(command: str, *, optional: bool = False) -> set[str]:
    """Return the keys of a command in the table: those that it always has, or those that depend on an option."""
    words = {word for code in re.findall(r"`([^`]+)`", ROWS[command][optional]) for word in code.split()}
    return {word for word in words if not word.startswith("--")}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_keys_are_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert exit_code(command, *COMMANDS[command], "--json") == 0
    first_line = capsys.readouterr().out.splitlines()[0]
    assert keys(json.loads(first_line)) == documented(command)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("option", "value"), [("--adapt", "weights"), ("--window", 8)])
def test_keys_of_an_option_are_documented(option: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert exit_code("eval", "run", "text.txt", "--json", option, value) == 0
    extra = {*json.loads(capsys.readouterr().out)} - documented("eval")
    assert extra
    assert extra <= documented("eval", optional=True)


def test_every_command_with_json_is_in_the_table() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    sections = re.findall(r"^## elman (.*?)^(?=## )", reference, re.MULTILINE | re.DOTALL)
    assert {section.split()[0] for section in sections if "`--json`" in section} == {*ROWS}
    assert {*COMMANDS} | {"report", "sweep"} == {*ROWS}  # these two take long; tests of their own check their keys
