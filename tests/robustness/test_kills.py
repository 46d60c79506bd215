"""A training run that is killed at any moment and resumed ends with the files of a run that was never stopped.

A real `elman train` process is killed by SIGKILL, some moments after it has begun to write, and started again by
``--resume``, until it ends. Then the files are compared: the checkpoint bit for bit, the metrics without the columns
that the clock writes, the samples byte for byte.
"""

import csv
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.model.loading import load
from elman.runs.checkpoint import load_checkpoint
from elman.runs.directory import CHECKPOINT, LOCK, PLOT, RunDirectory
from elman.storage.tensors import read_tensors
from elman.text import Corpus
from elman.training import checkpoints, limits, loop
from support.cli import exit_code
from support.kills import Killed, kill_at
from support.state import ROOT, TEXT
from support.training import EXACT, contents, train
from support.training import Killed as KilledAt

RECIPES = {
    "rnn": "--max-updates 4000 --engine numba --hidden-size 8 --metrics-every 17 --sample-every 500",
    "gru": "--max-updates 1200 --engine numba --cell gru --hidden-size 6 --optimizer adam --learning-rate 0.005 "
    "--dropout 0.2 --ema-decay 0.9 --validation 0.1 --validate-every 150 --patience 100 --metrics-every 40 "
    "--sample-every 300",
    "lstm": "--max-updates 600 --engine numba --cell lstm --layers 2 --hidden-size 5 --batch-size 8 "
    "--optimizer rmsprop --learning-rate 0.002 --metrics-every 30 --sample-every 111",
    "numpy": "--max-updates 1500 --engine numpy --dtype float64 --hidden-size 4 --optimizer sgd "
    "--learning-rate 0.01 --schedule cosine --warmup 50 --validation 0.2 --metrics-every 33 --sample-every 250",
}
"""Together every cell and engine, several optimizers, and everything that a checkpoint can contain."""

AT_WORK, STARTING = 0.4, 0.9
"""Seconds in which a process is killed: from its first checkpoint on, or from its first touch of the directory on."""


def command(folder: Path, out: str, recipe: str) -> list[str]:
    """Return the training command; `elman`, but with frequent checkpoints."""
    often, text = ROOT / "tests" / "support" / "frequent_checkpoints.py", folder / "text.txt"
    options = ["--preset", "reference", "--out", str(folder / out), "--epochs", "1000", "--seq-length", "5"]
    options += ["--sample-length", "20", *recipe.split()]
    return [sys.executable, str(often), "train", str(text), *options]


def killed(arguments: list[str], out: Path, moments: random.Random) -> bool:
    """Start a process, kill it some moments after it began to write, and say whether it was still at work."""
    sign, seconds = (CHECKPOINT, AT_WORK) if moments.random() < 0.7 else (LOCK, STARTING)
    delay = moments.uniform(0, seconds)
    (out / LOCK).unlink(missing_ok=True)  # one left by a killed process would look like a start
    before = number(out / sign)
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while number(out / sign) == before and process.poll() is None:
            time.sleep(0.002)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        assert process.stderr is not None
        assert process.returncode in (0, -9), process.stderr.read().decode()
    return process.returncode != 0


def number(path: Path) -> int:
    """Return the inode of a file: another file has another one."""
    return path.stat().st_ino if path.exists() else 0


def left(out: Path) -> dict[str, Any]:
    """Return all files of a run, without what the clock writes."""
    with (out / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row[:6] for row in csv.reader(file)]
    files: dict[str, Any] = {}
    for path in out.glob("*.safetensors"):
        text, tensors = read_tensors(path)
        description = json.loads(text)
        for name in ("seconds", "spent"):
            description.get("state", {}).pop(name, None)
        files[path.name] = description, {name: (str(a.dtype), a.tobytes()) for name, a in tensors.items()}
    return files | {
        "metrics.csv": rows,
        "samples.jsonl": (out / "samples.jsonl").read_bytes(),
        "run.json": (out / "run.json").read_bytes(),
        "names": {path.name for path in out.iterdir()},
    }


def survive(folder: Path, name: str, kills: int, seed: int = 0) -> None:
    """Kill runs of a recipe so often, and compare each that ends with the one that was never stopped."""
    (folder / "text.txt").write_text(TEXT * 9, encoding="utf-8")
    _, _, *arguments = command(folder, "whole", RECIPES[name])
    assert exit_code(*arguments) == 0
    whole, moments = left(folder / "whole"), random.Random(f"{name} {seed}")
    for life in count():
        out = folder / f"life{life}"
        out.mkdir()
        resume: list[str] = []
        while kills and killed([*command(folder, out.name, RECIPES[name]), *resume], out, moments):
            kills -= 1
            resume = ["--resume"]
            if (out / CHECKPOINT).exists():  # at every moment it can be used
                load_checkpoint(out / CHECKPOINT)
                load(out)
        if not kills:
            subprocess.run([*command(folder, out.name, RECIPES[name]), *resume], check=True, capture_output=True)
        assert left(out) == whole
        if not kills:
            return


@pytest.mark.parametrize(
    ("name", "kills", "seed"),
    [("gru", 2, 0), *(pytest.param(name, 25, seed, marks=pytest.mark.slow) for name in RECIPES for seed in (1, 2))],
)
def test_a_run_that_is_killed_ends_as_one_that_was_not(tmp_path: Path, name: str, kills: int, seed: int) -> None:
    survive(tmp_path, name, kills, seed)


SYNC = [(os, "fsync")]


@pytest.mark.parametrize(
    ("recipe", "when"),
    [
        ({}, "before"),
        ({"validation": 0.2, "validate_every": 4}, "after"),
        pytest.param({}, "after", marks=pytest.mark.slow),
        pytest.param({"validation": 0.2, "validate_every": 4}, "before", marks=pytest.mark.slow),
    ],
    ids=["last before", "best after", "last after", "best before"],
)
def test_a_run_that_is_killed_at_any_sync_ends_as_one_that_was_not(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any], when: str
) -> None:
    """Whatever reaches the disk does so by a sync: here a run is killed before and after every single one."""
    monkeypatch.setattr(limits, "TICK_SECONDS", 100.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", math.inf)
    options = EXACT | recipe
    train(corpus, **options, max_updates=12, out=tmp_path / "whole")
    whole = left(tmp_path / "whole")
    for last in count(1):
        out = tmp_path / str(last)
        out.mkdir()
        try:
            with monkeypatch.context() as patch:
                kill_at(patch, last, when, SYNC)
                train(corpus, **options, max_updates=12, out=out)
            break
        except Killed:
            run = train(corpus, **options, resume=True, max_updates=12, out=out)
        assert run.state.update == 12
        assert left(out) == whole, last
    assert last > 25


@pytest.mark.parametrize(("every", "metrics_every"), [(0, 3), (4, 7)])
def test_a_longer_run_that_is_killed_at_its_start_has_no_final_validation_of_the_shorter(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, metrics_every: int
) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 100.0)
    options = EXACT | {"validation": 0.2, "validate_every": every, "metrics_every": metrics_every, "sample_every": 0}
    train(corpus, **options, max_updates=9, out=tmp_path / "short")
    shutil.copytree(tmp_path / "short", tmp_path / "whole")
    train(corpus, resume=True, max_updates=20, out=tmp_path / "whole")
    whole = left(tmp_path / "whole")
    for last in range(1, 9):
        out = Path(shutil.copytree(tmp_path / "short", tmp_path / str(last)))
        with monkeypatch.context() as patch:
            kill_at(patch, last, "before", SYNC)
            with pytest.raises(Killed):
                train(corpus, resume=True, max_updates=20, out=out)
        train(corpus, resume=True, max_updates=20, out=out)
        assert left(out) == whole, last


def test_other_limits_hold_though_it_is_killed(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(corpus, **EXACT, max_updates=9, out=tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(patch, 1, "before", [(loop, "finish_compiling")])
        with pytest.raises(Killed):
            train(corpus, resume=True, max_updates=20, out=tmp_path / "run")
    train(corpus, resume=True, out=tmp_path / "run")
    train(corpus, **EXACT, max_updates=20, out=tmp_path / "whole")
    assert left(tmp_path / "run") == left(tmp_path / "whole")


def test_a_longer_run_that_is_killed_before_its_plot_has_none_of_the_shorter(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=9, out=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, 1, "before", [(loop, "save_plot")])
        with pytest.raises(Killed):
            train(corpus, resume=True, max_updates=20, out=tmp_path)
    assert not (tmp_path / PLOT).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_replacement_is_one_of_both_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Killed before and after every call that changes a directory: never one of them with files of the other."""
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text(TEXT * 9, encoding="utf-8")
    new.write_text(TEXT[::-1] * 9, encoding="utf-8")
    settings = {name: value for name, value in EXACT.items() if name != "preset"}
    options: dict[str, Any] = settings | {"max_updates": 4, "validation": 0.2, "validate_every": 2}
    elman.train(old, **options, preset="reference", out=tmp_path / "run")
    before, outcomes = contents(tmp_path / "run"), []
    monkeypatch.setattr(loop, "save_plot", lambda *_: None)  # which takes most of the time
    for last in count(1):
        out = Path(shutil.copytree(tmp_path / "run", tmp_path / f"run{last}"))
        try:
            with monkeypatch.context() as patch:
                kill_at(patch, last, when, [*SYNC, (Path, "replace"), (Path, "unlink")])
                elman.train(new, **options, preset="quick", ngram_order=0, out=out, overwrite=True)
            break
        except Killed:
            pass
        if not (out / CHECKPOINT).exists():
            with pytest.raises(ElmanError, match="there is no checkpoint"):
                elman.train(out=out, resume=True)
            elman.train(new, **options, preset="quick", ngram_order=0, out=out, overwrite=True)
            outcomes.append("none")
            continue
        run = elman.train(out=out, resume=True)
        outcomes.append(run.preset)
        assert run.corpus.name == {"reference": "old.txt", "quick": "new.txt"}[run.preset]
        assert RunDirectory(out).manifest().config == run.config
        assert run.state.update == 4
        if run.preset == "reference":
            assert contents(out).keys() >= before.keys() - {PLOT}
    assert {*outcomes} == {"reference", "none", "quick"}
    assert outcomes == sorted(outcomes, key=["reference", "none", "quick"].index)


@pytest.mark.parametrize("lost", [("run.json",), ("run.json", "metrics.csv", "samples.jsonl"), None], ids=str)
def test_a_run_that_is_killed_before_or_right_after_its_first_checkpoint_is_resumed(
    corpus: Corpus, tmp_path: Path, lost: tuple[str, ...] | None
) -> None:
    if lost is None:
        for name in ("run", "whole"):
            (tmp_path / name).mkdir()
        (tmp_path / "run" / ".elman-99999999-01234567.part").touch()
    else:
        with pytest.raises(KeyboardInterrupt):
            train(corpus, **EXACT, max_updates=9, out=tmp_path / "run", callback=KilledAt())
    for name in lost or ():
        (tmp_path / "run" / name).unlink()
    train(corpus, **EXACT, max_updates=9, resume=True, out=tmp_path / "run")
    train(corpus, **EXACT, max_updates=9, out=tmp_path / "whole")
    assert left(tmp_path / "run") == left(tmp_path / "whole")


def test_a_stale_copy_of_the_best_network_is_not_used(corpus: Corpus, tmp_path: Path) -> None:
    options = EXACT | {"validation": 0.2, "validate_every": 3}
    train(corpus, **options, max_updates=3, out=tmp_path)
    stale = (tmp_path / "best.safetensors").read_bytes()
    train(corpus, resume=True, max_updates=12, out=tmp_path)
    expected = load(tmp_path).sample(50, seed=1)
    assert (tmp_path / "best.safetensors").read_bytes() != stale
    (tmp_path / "best.safetensors").write_bytes(stale)  # as a kill between the two leaves it
    assert load(tmp_path).sample(50, seed=1) == expected
    (tmp_path / CHECKPOINT).unlink()  # the copy alone is a network as well
    assert load(tmp_path).sample(50, seed=1) == load(tmp_path / "best.safetensors").sample(50, seed=1)
