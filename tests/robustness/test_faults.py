"""Full disks, directories that are read-only or gone: a one-line error, and the last good checkpoint stays usable.

The faults are real: limits of the system on a process, its permissions, and a small file system where one can be
mounted.
"""

import ctypes
import errno
import math
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from elman.errors import ElmanError
from elman.model.loading import load
from elman.runs.directory import CHECKPOINT, RunDirectory
from elman.text import Corpus
from elman.training import checkpoints, limits
from elman.training.callbacks import TrainingCallback
from elman.training.checkpoints import Checkpoints
from elman.training.health import HealthCheck
from elman.training.run import Run
from support.state import TEXT, snapshot
from support.training import EXACT, assert_same, train

FULL = "free disk space or choose another --out"
OPTIONS = EXACT | {"validation": 0.2, "validate_every": 5}
Prepare = Callable[[], None]


def elman(*arguments: object, before: Prepare | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "elman", *map(str, arguments)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}  # Python keeps a file that a limit has cut off
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=before, check=False, env=environment)


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that ended with exit code 2."""
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    *progress, line = ended.stderr.splitlines()
    assert line.startswith("error: "), ended.stderr
    assert "Traceback" not in "".join(progress)
    return line


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def begin(text: Path, out: Path) -> bytes:
    train(text, **OPTIONS, max_updates=9, out=out)
    return (out / CHECKPOINT).read_bytes()


@cache
def run_without_fault(updates: int) -> Run:
    return train(Corpus.from_text(TEXT), **OPTIONS, max_updates=updates)


def assert_goes_on(text: Path, out: Path, checkpoint: bytes | None = None, updates: int = 20) -> None:
    """The checkpoint is usable; the resumed run ends as one without a fault, and leaves no partial file."""
    assert checkpoint in (None, (out / CHECKPOINT).read_bytes())
    assert load(out).sample(5, seed=1)
    assert_same(train(text, resume=True, max_updates=updates, out=out), run_without_fault(updates))
    assert not list(out.glob("*.part"))


def save_after_every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TICK_SECONDS", 1e-9)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", math.inf)


class Does(TrainingCallback):
    def __init__(self, deed: Callable[[], object], update: int = 5) -> None:
        self.deed, self.update = deed, update
        self.done = False

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update >= self.update and not self.done:
            self.done = True
            self.deed()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.99])
def test_a_limit_of_file_sizes(text: Path, tmp_path: Path, share: float) -> None:
    """A small limit is hit by the lock, the records or the manifest, a larger one by the checkpoint."""
    out = tmp_path / "run"
    before = begin(text, out)
    size = int(share * len(before))
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    line = refused(elman("train", text, "--out", out, "--resume", "--max-updates", 20, before=limit))
    assert f"(File too large): {FULL}" in line
    assert_goes_on(text, out, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    break
    return path


def test_a_disk_that_is_full_at_the_start_and_on_resume(text: Path, small_disk: Path) -> None:
    out = small_disk / "run"
    filler, arguments = fill(small_disk), ["train", text, "--preset", "reference", "--out", out, "--max-updates", 9]
    assert f"(No space left on device): {FULL}" in refused(elman(*arguments))
    filler.unlink()
    shutil.rmtree(out, ignore_errors=True)
    before, filler = begin(text, out), fill(small_disk)
    line = refused(elman("train", text, "--out", out, "--resume", "--max-updates", 20))
    assert f"(No space left on device): {FULL}" in line
    filler.unlink()
    assert_goes_on(text, out, before)


def test_a_disk_that_fills_at_any_moment(small_disk: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_after_every_update(monkeypatch)
    for update in range(1, 20, 3):
        out = small_disk / str(update)
        with pytest.raises(ElmanError, match="No space left on device"):
            train(text, **OPTIONS, max_updates=20, out=out, callback=Does(lambda: fill(small_disk), update))
        assert RunDirectory(out).load().state.update == update - 1
        (small_disk / "filler").unlink()
        assert_goes_on(text, out)
        shutil.rmtree(out)


def fail_at(patch: pytest.MonkeyPatch, call: str, last: int) -> Iterator[int]:
    """Let the call of this number fail; return an iterator whose next number is that of the next call."""
    calls, function = count(1), getattr(os, call)

    def fail(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) == last:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(arguments[0]))
        return function(*arguments, **keywords)

    patch.setattr(os, call, fail)
    return calls


@pytest.mark.parametrize("call", ["fsync", "replace", "unlink", "mkdir"])
def test_any_call_of_the_system_may_fail(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A single failure ends the run in one line, and leaves one that goes on or none."""
    save_after_every_update(monkeypatch)
    for last in count(1):
        out = tmp_path / call / str(last)
        with monkeypatch.context() as patch, suppress(ElmanError):
            calls = fail_at(patch, call, last)
            train(text, **OPTIONS, max_updates=6, out=out)
        if next(calls) <= last:
            break
        if (out / CHECKPOINT).exists():
            assert_goes_on(text, out, updates=9)
        else:
            train(text, **OPTIONS, max_updates=6, out=out)
    assert last > 1


def without_privilege() -> None:
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


@pytest.fixture
def locked_away(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "folder"
    folder.mkdir()
    yield folder
    folder.chmod(0o755)


def test_a_run_that_may_not_be_written_can_be_read(text: Path, locked_away: Path) -> None:
    before = begin(text, locked_away)
    (locked_away / ".lock").unlink()
    locked_away.chmod(0o555)
    arguments = ["--preset", "reference", "--out", locked_away / "run"]
    line = refused(elman("train", text, *arguments, before=without_privilege))
    assert line.endswith("/folder/run' (Permission denied): choose another --out")
    line = refused(elman("train", text, "--out", locked_away, "--resume", before=without_privilege))
    assert line.endswith("/folder' (Permission denied): choose another --out")
    assert elman("sample", locked_away, "--length", 5, before=without_privilege).returncode == 0
    locked_away.chmod(0o755)
    assert_goes_on(text, locked_away, before)


@pytest.mark.parametrize("command", ["sample", "export run.npz", "train --resume"])
def test_a_run_in_a_folder_that_may_not_be_entered(text: Path, locked_away: Path, command: str) -> None:
    before = begin(text, locked_away)
    locked_away.chmod(0)
    name, *options = command.split()
    arguments = [text, "--out", locked_away] if name == "train" else [locked_away]
    line = refused(elman(name, *arguments, *options, before=without_privilege))
    assert str(locked_away) in line
    assert "standard output" not in line
    locked_away.chmod(0o755)
    assert (locked_away / CHECKPOINT).read_bytes() == before


def test_a_disk_that_becomes_read_only(text: Path, small_disk: Path) -> None:
    before = begin(text, small_disk / "run")
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(remount, capture_output=True).returncode:
        pytest.skip("no file system can be made read-only here")
    line = refused(elman("train", text, "--out", small_disk / "run", "--resume", "--max-updates", 20))
    assert "(Read-only file system): choose another --out" in line
    assert load(small_disk / "run").sample(5, seed=1)
    assert (small_disk / "run" / CHECKPOINT).read_bytes() == before


GONE = "run' is no longer the directory that this run writes to: it was deleted or moved; restore it and use resume="


def test_a_directory_that_vanishes_or_is_moved(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_after_every_update(monkeypatch)
    out, moved = tmp_path / "run", tmp_path / "moved"
    with pytest.raises(ElmanError, match=GONE):
        train(text, **OPTIONS, max_updates=20, out=out, callback=Does(lambda: shutil.rmtree(out)))
    assert not out.exists()
    with pytest.raises(ElmanError, match=GONE):
        train(text, **OPTIONS, max_updates=20, out=out, callback=Does(lambda: out.rename(moved)))
    assert RunDirectory(moved).load().state.update == 4
    assert_goes_on(text, moved)


def test_a_directory_that_is_replaced_by_that_of_another_run(corpus: Corpus, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    other: list[Run] = []

    def replace() -> None:
        shutil.rmtree(out)
        other.append(train(corpus, **EXACT, max_updates=3, out=out))

    with pytest.raises(ElmanError, match=GONE):
        train(text, **OPTIONS, max_updates=20, out=out, callback=Does(replace))
    directory = RunDirectory(out)
    assert snapshot(directory.load().state) == snapshot(other[0].state)
    assert directory.metrics() == other[0].metrics


@pytest.mark.parametrize(
    ("since", "updates", "took", "due"),
    [
        (31.0, 10, 0.3, True), (29.0, 10, 0.0, False), (29.0, 100_000, 0.2, True), (10.0, 100_000, 0.2, False),
        (60.0, 200_000, 1.0, False), (101.0, 1, 1.0, True),
    ],
)  # fmt: skip
def test_checkpoints_take_a_hundredth_of_the_time_at_most(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, since: float, updates: int, took: float, due: bool
) -> None:
    """At least every 30 s or 100,000 updates, but for s seconds of writing at least 100 s go by before the next."""
    run = train(corpus, **EXACT, max_updates=1)
    saving = Checkpoints(run, HealthCheck(run, TrainingCallback()))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    saving.saved_at, saving.save_seconds = now - since, [took]
    saving.saved_update = run.state.update - updates
    assert (saving.next_update(0) <= run.state.update) == due
