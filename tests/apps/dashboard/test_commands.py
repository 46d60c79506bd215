"""`elman view`, and `elman train --live`."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from elman.machine import HANGUP
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import EXACT, contents, train

SMALL = ["--preset", "reference", "--hidden-size", "3", "--seq-length", str(T), "--engine", "numpy", "--quiet"]
ADDRESS = r"http://127\.0\.0\.1:\d+"


def test_train_with_the_dashboard_prints_its_address_and_the_same_results(folder: Path, command: Command) -> None:
    assert command("train", "novel.txt", "--out", "plain", *SMALL, "--max-updates", 20, "--json").err == ""
    code, out, err = command(
        "train", "novel.txt", "--out", "out", *SMALL, "--max-updates", 20, "--live", "--live-with", "plain", "--json"
    )
    assert code == 0
    assert re.fullmatch(f"dashboard: {ADDRESS}\n", err)
    assert json.loads(out)["updates"] == 20
    shown, plain = contents(Path("out")), contents(Path("plain"))
    assert shown.keys() == plain.keys()
    assert shown["samples.jsonl"] == plain["samples.jsonl"]


def test_a_library_is_missing(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("elman.apps.serve.", "elman.apps.dashboard."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    words = ("requires uvicorn", "pip install 'elman[serve]'")
    for arguments in (["serve"], ["view", "out"], ["train", "novel.txt", "--out", "out", "--live"]):
        assert_refused(command(*arguments), *words)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), *([(HANGUP, 0)] if HANGUP else [])]
)
def test_view_shows_runs_until_a_signal(folder: Path, number: signal.Signals, code: int) -> None:
    out = folder / "novel"
    train(Corpus.from_text(TEXT), **EXACT, epochs=2, out=out)
    command = [sys.executable, "-m", "elman", "view", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(ADDRESS, line)
        assert found, line
        assert httpx.get(f"{found[0]}/api/runs").json() == {"runs": [{"name": "novel", "live": False}]}
        process.send_signal(number)
        assert process.wait(timeout=30) == code
        assert process.stdout.read() == ""
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert (out / "checkpoint.safetensors").exists()
