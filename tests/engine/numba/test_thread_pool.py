"""The choice between one thread and all is made per kind of work, however many pools measure at the same time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from elman.engine.numba import thread_pool
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.thread_pool import AutotunedThreadPool, Timings
from elman.network import initial_parameters


def test_pools_of_one_kind_share_their_timings_though_two_measure_at_once() -> None:
    def work(_: int) -> None:
        with AutotunedThreadPool("of this test", 4) as pool:
            for _ in range(50):
                pool.run_timed(lambda: None)

    with ThreadPoolExecutor(2) as both:
        list(both.map(work, range(2)))
    timings = thread_pool._timings.pop("of this test")
    assert len(timings.serial) == len(timings.parallel) == thread_pool._TRIALS


def choices(timings: Timings, runs: int, *, serial: float, parallel: float) -> list[bool]:
    """Return which of some runs are parallel, where each takes as long as given."""
    chosen = []
    for _ in range(runs):
        chosen.append(timings.choose_parallel())
        timings.add(chosen[-1], parallel if chosen[-1] else serial)
    return chosen


def test_the_faster_way_is_chosen_after_trials_of_both() -> None:
    for serial, parallel in ((2.0, 1.0), (1.0, 2.0)):
        chosen = choices(Timings(), 50, serial=serial, parallel=parallel)
        trials = 2 * thread_pool._TRIALS
        assert sum(chosen[:trials]) == thread_pool._TRIALS
        others = [run for run in range(trials, 50) if chosen[run] != (parallel < serial)]
        assert others == [8, 16, 32]  # tried again


def test_a_choice_that_was_disturbed_is_corrected() -> None:
    timings = Timings()
    choices(timings, 2 * thread_pool._TRIALS, serial=1.0, parallel=9.0)  # while the other core is busy
    chosen = choices(timings, 2 * thread_pool._RECHECK, serial=1.0, parallel=0.6)
    assert sum(not parallel for parallel in chosen) <= 8  # the slower way is measured again soon
    assert sum(not parallel for parallel in chosen[-thread_pool._RECHECK :]) <= 2


def test_one_text_is_read_without_threads() -> None:
    parameters = initial_parameters(5, 4, 0.1, np.random.RandomState(1), np.dtype("float32"), "gru", 2)
    network = CompiledNetwork(parameters, 3, 1, backward=False)
    assert network.pool.executor is None  # a signal might reach one of its threads, and be lost


def test_nothing_is_learned_from_no_work() -> None:
    with AutotunedThreadPool("of this test", 4) as pool:
        pool.run_timed(lambda: None, 0)
    timings = thread_pool._timings.pop("of this test")
    assert not timings.serial
    assert not timings.parallel
