"""Several threads compute what one does, bit for bit, and the fastest plan is chosen, however busy the machine is."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.engine.numba import threads, training
from elman.engine.numba.engine import NumbaEngine
from elman.engine.numba.threads import Plan, Team, Timings, make_team, partition
from elman.engine.numba.workspace import BatchedNetwork
from elman.network import Dropout, Optimizer, WeightDropout
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Windows
from support.cores import busy_cores, one_core
from support.networks import make_parameters, make_state, with_architecture
from support.processes import run_in_a_process

K = 20
TEXT = np.random.default_rng(1).integers(0, K, 400).astype(np.uint8)
ADAM = Optimizer(0.01, 1.0, "adam", "norm", ema_decay=0.9)
MUON = replace(ADAM, name="muon", weight_decay=0.1)


def train(
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
    *,
    threads: int = 2,
    optimizer: Optimizer = ADAM,
    B: int = 2,
    T: int = 7,
    reset_at: int | None = None,
    ngram_order: int = 0,
    dtype: type = np.float32,
    pieces: tuple[int, ...] = (20,),
    **network: Any,
) -> bytes:
    """Return the losses and the state after 20 updates by one plan; an epoch has fewer."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
    monkeypatch.setattr(Timings, "choose", lambda self, plans: plan if plan in plans else plans[0])
    ngrams = count_ngrams(TEXT, NgramSpec(K, max(0, ngram_order - 1)), 3)
    state = make_state(
        K, 100, 0.3, 400, dtype, batch_size=B, optimizer=optimizer, ngrams=ngrams, **({"cell": "gru"} | network)
    )
    state.parameters = with_architecture(state.parameters, reset_at=reset_at)
    windows, engine = Windows(TEXT, T, B, cross_fit=True), NumbaEngine()
    losses = np.concatenate([engine.advance(state, windows, n, optimizer) for n in pieces])
    arrays = (losses, state.hidden.recurrent, *state.parameters.values(), *state.M.values(), *state.N.values())
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (*arrays, *state.average.values()))


@pytest.mark.parametrize("plan", [Plan.ROWS, Plan.UNITS])
@pytest.mark.parametrize(
    "options",
    [
        {"cell": "rnn", "B": 1, "optimizer": Optimizer(0.1, 5.0), "pieces": (7, 13)},
        {"cell": "rnn", "B": 1, "optimizer": Optimizer(0.1, 5.0), "dtype": np.float64, "T": 1},
        {"cell": "lstm", "B": 1},
        {"cell": "rnn", "B": 3, "layers": 2},
        {"B": 9, "layers": 2, "optimizer": replace(ADAM, dropout=Dropout(0.2, False, 7))},
        {"cell": "lstm", "layers": 2, "optimizer": replace(ADAM, dropout=Dropout(0.2, True, 7)), "reset_at": 3},
        {"B": 1, "reset_at": 3},
        {"cell": "lstm", "B": 8, "threads": 3},
        {"optimizer": Optimizer(0.01, 1.0, "adagrad", weight_decay=0.01), "dtype": np.float64},
        {"optimizer": Optimizer(0.01, 1.0, "sgd", "norm", weight_decay=0.01), "pieces": (3, 1, 16)},
        {"optimizer": Optimizer(0.01, 1.0, "rmsprop"), "T": 1},
        {"optimizer": replace(ADAM, name="adamw", weight_decay=0.01), "B": 9, "pieces": (1, 19)},
        {"optimizer": replace(MUON, weight_dropout=WeightDropout(0.3, 7)), "B": 9, "ngram_order": 4, "layers": 2},
        {"optimizer": MUON, "cell": "lstm", "ngram_order": 3, "reset_at": 3, "threads": 3},
        {"optimizer": MUON, "cell": "rnn", "threads": 4},
    ],
)
def test_the_bits_are_those_of_one_thread(plan: Plan, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.engine.numba.muon.SHARED_SIZE", 1)  # threads share blocks
    expected = train(monkeypatch, Plan.SERIAL, **options)
    assert train(monkeypatch, plan, **options) == expected


@pytest.mark.parametrize("options", [{}, {"cell": "rnn", "B": 1, "optimizer": Optimizer(0.1, 5.0)}])
@pytest.mark.parametrize("machine", [one_core, busy_cores])
def test_busy_cores_change_no_bit(machine: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if machine is one_core and not hasattr(os, "sched_setaffinity"):
        pytest.skip("the cores of a process cannot be set")
    expected = train(monkeypatch, Plan.SERIAL, **options)
    with machine():
        assert all(train(monkeypatch, Plan.UNITS, **options) == expected for _ in range(3))


def test_the_work_is_divided() -> None:
    assert [partition.py_func(thread, 7) for thread in make_team(3)] == [(0, 2), (2, 4), (4, 7)]


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_an_exception_in_one_thread_ends_the_others(in_main_thread: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training.run_updates

    def interrupt(*arguments: Any) -> None:
        if (threading.current_thread() is threading.main_thread()) == in_main_thread:
            raise KeyboardInterrupt
        run(*arguments)

    expected = train(monkeypatch, Plan.UNITS)
    with monkeypatch.context() as context:
        context.setattr(training, "run_updates", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(context, Plan.UNITS)
    assert train(monkeypatch, Plan.UNITS) == expected


def test_the_other_threads_are_released_if_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch, team: Team) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    before = team.teams[Plan.ROWS][0]
    monkeypatch.setattr(threads._POOL, "submit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        team.run(lambda thread: None, steps=1)
    assert before.arrivals[before.size * threads.LINE] == 1
    assert team.teams[Plan.ROWS][0].arrivals.sum() == 0  # the next run has barriers again


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A team of two threads whose timings no other test sees, and which divides the rows whatever they say."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    with monkeypatch.context() as context:
        context.setattr(Timings, "choose", lambda self, plans: Plan.ROWS)
        yield Team("of this test", groups=4)
    threads._timings.pop("of this test")


def test_a_forked_process_has_threads_of_its_own(team: Team) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be forked")
    team.run(lambda thread: None, steps=1)
    child = os.fork()
    if child == 0:
        ranks = list[int]()
        team.run(lambda thread: ranks.append(thread.rank), steps=1)
        os._exit(0 if sorted(ranks) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


TWO_TRAININGS = """
import sys, threading, time
import elman
from elman.engine.numba import threads

class PausingQueue(threads.SimpleQueue):
    def put(self, task):
        super().put(task)
        time.sleep(0.02)  # the other training submits its tasks

corpus = elman.Corpus.from_text("to be or not to be " * 90)
settings = {"preset": "reference", "cell": "gru", "hidden_size": 8, "batch_size": 64, "seq_length": 8, "ngram_order": 3}

def train(number):
    threading.main_thread().join()
    print(elman.train(corpus, max_updates=40, seed=1, out=f"{sys.argv[1]}/{number}", **settings).state.smooth_loss)

elman.train(corpus, max_updates=1, out=f"{sys.argv[1]}/compiled", **settings)  # Numba is not imported after the end
threads._POOL.tasks = PausingQueue()
threads.Timings.choose = lambda self, plans: plans[-1]
for number in range(2):
    threading.Thread(target=train, args=[number]).start()
"""


def test_two_trainings_at_once_end_though_the_main_thread_has_ended_before(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_NUM_THREADS": "4"}
    command = [sys.executable, "-c", TWO_TRAININGS, str(tmp_path)]
    run = subprocess.run(command, env=environment, check=True, timeout=900, capture_output=True, text=True)
    first, second = run.stdout.split()
    assert first == second


def test_one_sequence_is_read_without_threads() -> None:
    parameters = make_parameters(5, 4, 0.1, np.random.RandomState(1), np.dtype("float32"), "gru", 2)
    assert BatchedNetwork(parameters, 3, 1, backward=False).team.max_threads == 1


def test_teams_of_one_kind_share_their_timings_though_two_measure_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    kind = object()

    def work(_: int) -> Timings:
        team = Team(kind, groups=4)
        for _ in range(50):
            team.run(lambda thread: None, steps=1)
        return team.timings

    with ThreadPoolExecutor(2) as both:
        first, second = both.map(work, range(2))
    threads._timings.pop(kind)
    assert first is second
    assert first.seconds[Plan.SERIAL]
    assert first.seconds[Plan.ROWS]


def choices(timings: Timings, runs: int, seconds: dict[Plan, float], share: float = 1.0) -> list[Plan]:
    """Return the plans of some runs, where each takes as long as given, on a machine with a share of its processor."""
    chosen = []
    for _ in range(runs):
        chosen.append(timings.choose(list(seconds)))
        timings.add(chosen[-1], 1, seconds[chosen[-1]], share * seconds[chosen[-1]])
    return chosen


@pytest.mark.parametrize("plans", [(Plan.SERIAL, Plan.ROWS), tuple(Plan)])
def test_the_fastest_plan_is_chosen_after_trials_of_each(plans: tuple[Plan, ...]) -> None:
    for fastest in plans:
        chosen = choices(Timings(), 1000, {plan: 1.0 if plan is fastest else 2.0 for plan in plans})
        assert set(chosen[: len(plans)]) == set(plans)
        assert chosen.count(fastest) > 950


@pytest.mark.parametrize("slow", [2.0, 100.0])
def test_slower_plans_take_a_small_share_of_the_time(slow: float) -> None:
    seconds = {Plan.SERIAL: 1.0, Plan.ROWS: 3.0, Plan.UNITS: slow}
    chosen = choices(Timings(), 10_000, seconds)
    for plan in (Plan.ROWS, Plan.UNITS):
        spent = chosen.count(plan) * seconds[plan]
        assert 0 < spent < 0.03 * sum(seconds[each] for each in chosen)


def test_a_choice_that_was_disturbed_is_corrected() -> None:
    timings = Timings()
    disturbed = {Plan.SERIAL: 1.0, Plan.ROWS: 9.0}  # while the other core is busy
    choices(timings, 6, disturbed)
    chosen = choices(timings, 1000, disturbed | {Plan.ROWS: 0.6})
    assert chosen[500:].count(Plan.ROWS) > 480


def test_threads_do_not_share_units_on_a_busy_machine() -> None:
    timings, seconds = Timings(), {Plan.SERIAL: 2.0, Plan.ROWS: 1.0, Plan.UNITS: 0.5}
    assert Plan.UNITS not in choices(timings, 100, seconds | {Plan.UNITS: 100.0}, share=0.3)
    assert choices(timings, 100, seconds).count(Plan.UNITS) > 80  # it is no longer busy


def test_a_run_with_a_slow_plan_is_short() -> None:
    timings = Timings()
    assert timings.steps_within(0.01, list(Plan)) == 1  # nothing is known
    for plan, seconds in ((Plan.SERIAL, 0.001), (Plan.ROWS, 0.0005), (Plan.UNITS, 0.5)):
        timings.add(plan, 1, seconds, seconds)
    assert timings.steps_within(0.01, [Plan.SERIAL]) == 10
    assert timings.steps_within(0.01, [Plan.ROWS]) == 20
    assert timings.steps_within(0.01, [Plan.UNITS]) == 1


def test_nothing_is_learned_from_no_work(team: Team) -> None:
    team.run(lambda thread: None)
    assert not any(team.timings.seconds.values())


TRAIN = """
import hashlib, sys
import numpy as np
from elman.engine import get_engine
from elman.network import Optimizer
from elman.text import Windows
from support.networks import make_state

text = np.random.default_rng(1).integers(0, 20, 400).astype(np.uint8)
digests = {}
for name in sys.argv[1:]:
    optimizer = Optimizer(0.01, 1.0, name, "norm", weight_decay=0.01)
    state = make_state(20, 40, 0.3, 400, np.float32, cell="gru", batch_size=2, optimizer=optimizer)
    get_engine("numba").advance(state, Windows(text, 7, 2), 12, optimizer)
    digests[name] = hashlib.sha256(b"".join(array.tobytes() for array in state.parameters.values())).hexdigest()
print(digests["adagrad"], digests["adamw"], digests["muon"])
"""


@pytest.mark.slow
def test_the_bits_are_those_of_kernels_that_another_process_or_training_has_compiled(tmp_path: Path) -> None:
    orders = ["adagrad adamw muon", "muon adamw adagrad", "rmsprop muon adagrad adamw", "sgd adamw muon adagrad"]
    assert len({run_in_a_process(TRAIN, tmp_path, *names.split()) for names in orders}) == 1
