"""Compilation in several processes."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.config import make_config
from elman.engine.numba.threads import barrier, make_team
from elman.jit import Signature, pack, parallel
from elman.ngram.kernels import set_logs, unpack
from elman.ngram.language_model import reading_kernels
from elman.runs.texts import TrainingData
from elman.text import Corpus
from elman.training.initialization import compile_ahead, create_optimizer
from support.processes import is_alive, run_in_a_process


def small_kernels() -> list[Signature]:
    """Some kernels of the package that take little time to compile."""
    words, numbers = np.zeros(1, np.uint64), np.zeros(1, np.uint32)
    q, bits = np.ones(1), np.zeros(1, np.int64)
    thread = make_team(1)[0]
    arguments: list[tuple[Any, tuple[object, ...]]] = [
        (unpack, (1, 1, (words,) * 4, numbers, numbers, numbers)),
        (set_logs, (q, bits, q, q, 0)),
        (barrier, (thread,)),
    ]
    return [(kernel, pack(*values).kinds) for kernel, values in arguments]


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from unittest import mock
import test_parallel
from elman.jit import parallel
kernels = test_parallel.small_kernels()
if sys.argv[2] == "dies":
    parallel.sys = mock.Mock(executable=sys.executable, path=sys.argv[4:])  # where it finds another package
parallel.thread_count = lambda: int(sys.argv[3])
parallel.start_compiling(kernels)
workers = len(parallel._workers)
if sys.argv[2] == "waits":
    for worker in parallel._workers:
        worker.join()
left = len(parallel._tasks)
parallel.finish_compiling()
print(workers, left, not any(kernel.is_missing(kinds) for kernel, kinds in kernels))
"""


@pytest.mark.parametrize(
    ("mode", "threads", "expected"), [("waits", 2, "1 0 True"), ("waits", 1, "0 3 True"), ("dies", 2, "1 3 True")]
)
def test_all_kernels_are_compiled(tmp_path: Path, mode: str, threads: int, expected: str) -> None:
    folder = str(Path(__file__).parent)
    (tmp_path / "elman.py").write_text("raise SystemExit")
    printed = run_in_a_process(PROGRAM, tmp_path, folder, mode, str(threads), str(tmp_path))
    assert printed.split()[::2] == expected.split()[::2]
    if mode == "waits":
        assert printed == f"{expected}\n"
    if expected == "1 0 True":
        assert run_in_a_process(PROGRAM, tmp_path, folder, "waits", "2") == "0 0 True\n"  # all are in the cache


STOPPED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import test_parallel
from elman.jit import parallel
from support.processes import children
parallel.thread_count = lambda: 2
parallel.start_compiling(test_parallel.small_kernels())
while not (workers := children(parallel.os.getpid())):
    time.sleep(0.001)
print(*workers)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_no_process_compiles_longer_than_the_program(tmp_path: Path) -> None:
    (worker,) = run_in_a_process(STOPPED, tmp_path, str(Path(__file__).parent)).split()
    ends = time.monotonic() + 0.5  # in which it could not even import what it compiles
    while is_alive(int(worker)):
        assert time.monotonic() < ends


class Endless:
    """A kernel whose compilation does not end."""

    name = "test_parallel:ENDLESS"

    def is_missing(self, kinds: tuple[str, ...]) -> bool:
        return True

    def find(self, kinds: tuple[str, ...]) -> None:
        Path(kinds[0]).touch()
        while True:
            pass


ENDLESS = Endless()
KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_parallel
from elman.jit import parallel
from support.processes import children
parallel.thread_count = lambda: 2
parallel.start_compiling([(test_parallel.ENDLESS, (sys.argv[2], str(n))) for n in range(parallel.MIN_KERNELS)])
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
print(*children(os.getpid()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in /proc")
def test_no_process_compiles_after_the_program_was_killed(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as killed:
        run_in_a_process(KILLED, tmp_path, str(Path(__file__).parent), str(tmp_path / "begun"))
    worker, ends = int(killed.value.stdout), time.monotonic() + 5
    try:
        while is_alive(worker):
            assert time.monotonic() < ends
            time.sleep(0.01)
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


TRAIN = """
import sys
import elman
from elman.jit import parallel
from elman.jit.runtime import Kernel
started, compiled, compile = [], [], Kernel._compile
parallel.start_compiling = started.extend
Kernel._compile = lambda kernel, kinds: (compiled.append((kernel, kinds)), compile(kernel, kinds))[1]
text = elman.Corpus.from_text("the cat sat on the mat. " * 400)
options = dict(preset="reference", max_updates=2, validation=0.1, sample_every=1, progress=False)
if sys.argv[2] == "batched":
    options |= dict(cell="gru", batch_size=4, optimizer="adam", ngram_order=3, ngram_start=0.5)
elman.train(text, out=sys.argv[1], **options)
counting = ("elman.ngram.counting", "elman.ngram.sorting")  # compiled at once, as the text is counted
called = {(kernel, kinds) for kernel, kinds in compiled if not kernel.name.startswith(counting)}
print(len(started) > 10, called - set(started), any(kernel.is_missing(kinds) for kernel, kinds in started), end=" ")
compiled.clear()
elman.train(text, **options)
elman.load(sys.argv[1]).sample(5, seed=1)
print(compiled)
"""


@pytest.mark.slow  # compiles all kernels of a training
@pytest.mark.parametrize("kind", ["batched", "online"])
def test_a_training_starts_to_compile_exactly_what_it_uses(tmp_path: Path, kind: str) -> None:
    printed = run_in_a_process(TRAIN, tmp_path, str(tmp_path / "run"), kind)
    assert printed == "True set() False []\n"  # nothing is left the second time


@pytest.mark.parametrize("order", [0, 3])
def test_only_a_training_with_a_prior_compiles_kernels_that_read_it(
    monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    started = list[Signature]()
    monkeypatch.setattr(parallel, "start_compiling", started.extend)
    config = replace(make_config("quick"), ngram_order=order, validation=0.0)
    compile_ahead(TrainingData(config, Corpus.from_text("the cat sat on the mat. " * 400)), create_optimizer(config))
    assert ({*reading_kernels(config.dtype)} <= {*started}) == (order > 0)
    assert started
