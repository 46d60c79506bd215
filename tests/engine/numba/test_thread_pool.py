"""The choice between the uses of threads is made per kind of work, however many pools measure at the same time."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from elman.engine.numba import thread_pool
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.thread_pool import AutotunedThreadPool, Mode, Timings
from elman.network import initial_parameters
from elman.processes import thread_count


def test_pools_of_one_kind_share_their_timings_though_two_measure_at_once() -> None:
    def work(_: int) -> None:
        with AutotunedThreadPool("of this test", 4) as pool:
            for _ in range(50):
                pool.run_timed(lambda: None)

    with ThreadPoolExecutor(2) as both:
        list(both.map(work, range(2)))
    timings = thread_pool._timings.pop("of this test")
    assert len(timings.seconds[Mode.SERIAL]) == len(timings.seconds[Mode.TASKS]) == thread_pool._TRIALS


def choices(timings: Timings, runs: int, seconds: dict[Mode, float]) -> list[Mode]:
    """Return the modes of some runs, where each takes as long as given."""
    chosen = []
    for _ in range(runs):
        chosen.append(timings.choose(list(seconds)))
        timings.add(chosen[-1], seconds[chosen[-1]])
    return chosen


@pytest.mark.parametrize("modes", [(Mode.SERIAL, Mode.TASKS), tuple(Mode)])
def test_the_fastest_mode_is_chosen_after_trials_of_each(modes: tuple[Mode, ...]) -> None:
    for fastest in modes:
        chosen = choices(Timings(), 50, {mode: 1.0 if mode is fastest else 2.0 for mode in modes})
        trials = len(modes) * thread_pool._TRIALS
        assert all(chosen[:trials].count(mode) == thread_pool._TRIALS for mode in modes)
        others = [run for run in range(trials, 50) if chosen[run] is not fastest]
        assert others == [run for run in (8, 16, 32) if run >= trials]  # tried again


def test_every_other_mode_is_tried_again() -> None:
    seconds = {Mode.SERIAL: 1.0, Mode.TASKS: 2.0, Mode.TEAM: 3.0}
    chosen = choices(Timings(), 50 * thread_pool._RECHECK, seconds)[20:]
    assert min(chosen.count(mode) for mode in Mode) > 10


def test_a_choice_that_was_disturbed_is_corrected() -> None:
    timings = Timings()
    disturbed = {Mode.SERIAL: 1.0, Mode.TASKS: 9.0}  # while the other core is busy
    choices(timings, 2 * thread_pool._TRIALS, disturbed)
    chosen = choices(timings, 2 * thread_pool._RECHECK, disturbed | {Mode.TASKS: 0.6})
    assert chosen.count(Mode.SERIAL) <= 8  # the slower way is measured again soon
    assert chosen[-thread_pool._RECHECK :].count(Mode.SERIAL) <= 2


def test_a_run_in_several_threads_gives_each_its_member() -> None:
    with AutotunedThreadPool("of this test", 2) as pool:
        members: list[int] = []
        pool.run_team(members.append, [1, 2][: pool.workers])
    thread_pool._timings.pop("of this test")
    assert sorted(members) == [1, 2][: pool.workers]


@pytest.mark.skipif(thread_count() < 2, reason="there is one thread")
def test_the_other_members_are_released_if_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with AutotunedThreadPool("of this test", 2) as pool:
        released: list[bool] = []

        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(pool, "executor", SimpleNamespace(submit=interrupt, shutdown=lambda: None))
        with pytest.raises(KeyboardInterrupt):
            pool.run_team(lambda member: None, [1, 2][: pool.workers], lambda: released.append(True))
    thread_pool._timings.pop("of this test")
    assert released == [True]


def test_one_text_is_read_without_threads() -> None:
    parameters = initial_parameters(5, 4, 0.1, np.random.RandomState(1), np.dtype("float32"), "gru", 2)
    network = CompiledNetwork(parameters, 3, 1, backward=False)
    assert network.pool.executor is None  # a signal might reach one of its threads, and be lost


def test_nothing_is_learned_from_no_work() -> None:
    with AutotunedThreadPool("of this test", 4) as pool:
        pool.run_timed(lambda: None, 0)
    timings = thread_pool._timings.pop("of this test")
    assert not any(timings.seconds.values())
