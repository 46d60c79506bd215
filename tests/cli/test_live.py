"""The commands that open the dashboard, and --log: their output and exit codes."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from elman.runs.directory import RunDirectory
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import EXACT, contents, train

REFERENCE = ["--preset", "reference"]
SMALL = [*REFERENCE, "--hidden-size", "3", "--seq-length", str(T), "--engine", "numpy", "--max-updates", "20", "-q"]
ADDRESS = r"http://127\.0\.0\.1:\d+"


@pytest.fixture(autouse=True)
def no_browser(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_NO_BROWSER", "1")


def test_train_with_the_dashboard_prints_its_address_and_the_same_results(command: Command) -> None:
    assert command("train", "novel.txt", "--out", "plain", *SMALL, "--json").err == ""
    code, out, err = command("train", "novel.txt", "--out", "out", *SMALL, "--live", "--live-with", "plain", "--json")
    assert code == 0
    assert re.fullmatch(f"dashboard: {ADDRESS}\n", err)
    assert json.loads(out)["updates"] == 20
    shown, plain = contents(Path("out")), contents(Path("plain"))
    assert shown.keys() == plain.keys()
    assert shown["samples.jsonl"] == plain["samples.jsonl"]


def test_a_library_is_missing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("elman.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    words = ("requires uvicorn", "pip install 'elman[serve]'")
    for arguments in (["serve"], ["view", "out"], ["train", "novel.txt", "--out", "out", "--live"]):
        assert_refused(command(*arguments), *words)
    assert not Path("out").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_view_shows_runs_until_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "novel"
    train(Corpus.from_text(TEXT), **EXACT, epochs=2, out=out)
    command = [sys.executable, "-m", "elman", "view", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(ADDRESS, line)
        assert found, line
        assert httpx.get(f"{found[0]}/api/runs").json() == {"runs": [{"name": "novel", "live": False}]}
        process.send_signal(number)
        assert process.wait(timeout=30) == code
        assert process.stdout.read() == ""
    assert (out / "checkpoint.safetensors").exists()


def test_loggers(command: Command) -> None:
    logs = ["--log", "jsonl", "--log", "tensorboard"]
    assert command("train", "novel.txt", "--out", "out", *SMALL, *logs).code == 0
    lines = Path("out/metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["update"] for line in lines] == [row.update for row in RunDirectory(Path("out")).metrics()]
    assert Path("out/tensorboard").is_dir()
