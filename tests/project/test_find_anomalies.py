"""The commands and the Python of the guide on anomalies are carried out, on a small log."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from support.cli import Command
from support.state import ROOT

PAGE = (ROOT / "docs" / "how_to" / "find_anomalies.md").read_text("utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for language, block in BLOCKS for line in block.splitlines() if line.startswith("elman ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the logs that the guide names."""
    normal = [f"12:{n // 60:02}:{n % 60:02} job {n} is done" for n in range(200)]
    (tmp_path / "normal.log").write_text("\n".join(normal), encoding="utf-8")
    (tmp_path / "new.log").write_text("12:01:01 job 7 is done\n12:01:02 panic: no room\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_commands_find_the_anomaly(command: Command) -> None:
    ended = [command(*shlex.split(line.replace("--max-updates 600", ""))[1:], *small(line)) for line in COMMANDS]
    assert [each.code for each in ended] == [0, 1, 0, 1]
    for each in ended[1::2]:
        assert [row.split("\t")[2] for row in each.out.splitlines()[1:]] == ["true", "false"]
        assert "panic" in each.out.splitlines()[1]


def small(line: str) -> list[str]:
    """Return the options that make a training short."""
    return ["--max-updates", "40", "--hidden-size", "16", "-q"] if line.startswith("elman train") else []


@pytest.mark.usefixtures("folder")
def test_the_detector_finds_the_anomaly() -> None:
    (code,) = [block for language, block in BLOCKS if language == "py"]
    names: dict[str, Any] = {}
    exec(code.replace("contamination=0.01", "contamination=0.01, max_updates=40"), names)
    assert names["detector"].predict(names["new"]).tolist() == [1, -1]
