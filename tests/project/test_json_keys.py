"""The keys of every command's --json are those of the documentation."""

import json
import re
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from support.cli import Command
from support.state import ROOT, TEXT

PAGE = (ROOT / "docs" / "reference" / "files.md").read_text("utf-8")
TABLE = PAGE.split("## JSON output")[1].split("## Exit codes")[0]
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.*?)(; .*)? \|$", TABLE, re.MULTILINE)}
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
    "course": ("kit",),
    "decode": ("run", "frame.npy", "--symbols", "symbols.txt"),
    "explain": ("run", "text.txt"),
}
OPTIONS: dict[str, Any] = {
    "eval": ((), ("--adapt", "weights"), ("--window", 8)),
    "explain": ((), ("-o", "page.html")),
    "score": ((), ("--against", "other")),
}


@pytest.fixture
def folder(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT * 3, "utf-8")
    np.save("frame.npy", np.zeros((1, 1)))
    Path("symbols.txt").write_text("\n")  # the blank
    assert command("train", "text.txt", "-o", "run", *SMALL).code == 0
    copytree("run", "other")
    return tmp_path


def keys(value: Any) -> set[str]:
    """Return the keys of an object and of the objects in it, except those that are names of arrays or of texts."""
    if isinstance(value, list):
        return set[str]().union(*map(keys, value))
    return {*value}.union(*map(keys, value.values())) if isinstance(value, dict) else set()


def documented(cell: str) -> set[str]:
    return {word for code in re.findall(r"`([^`]+)`", cell) for word in code.split() if not word.startswith("--")}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", COMMANDS)
def test_the_keys_are_documented(name: str, command: Command) -> None:
    """A command always has the keys before the first semicolon; those after it depend on options."""
    always, sometimes = map(documented, ROWS[name])
    for options in OPTIONS.get(name, ((),)):
        ended = command(name, *COMMANDS[name], "--json", *options)
        assert ended.code == 0
        found = keys(json.loads(ended.out.splitlines()[0]))
        assert always <= found <= always | sometimes
        assert (found > always) == bool(options)


def test_every_command_with_json_is_in_the_table() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    sections = re.findall(r"^## elman (.*?)^(?=## )", reference, re.MULTILINE | re.DOTALL)
    assert {section.split()[0] for section in sections if "`--json`" in section} == {*ROWS}
    assert {*COMMANDS} | {"report", "sweep"} == {*ROWS}  # these two take long; tests of their own check their keys
