"""The choice between one thread and all is made once per kind of work, however many pools measure at the same time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from elman.engine.numba import thread_pool
from elman.engine.numba.batched.network import CompiledNetwork
from elman.engine.numba.thread_pool import AutotunedThreadPool
from elman.network import initial_parameters


def test_pools_of_one_kind_stop_measuring_though_two_measure_at_once() -> None:
    def work(_: int) -> None:
        with AutotunedThreadPool("of this test", 4) as pool:
            for _ in range(50):
                pool.run_timed(lambda: None)

    with ThreadPoolExecutor(2) as both:
        list(both.map(work, range(2)))
    # One more each, as both may have read the timings before either appended.
    assert all(len(timings) <= thread_pool._TRIALS + 1 for timings in thread_pool._timings.pop("of this test"))


def test_one_text_is_read_without_threads() -> None:
    parameters = initial_parameters(5, 4, 0.1, np.random.RandomState(1), np.dtype("float32"), "gru", 2)
    network = CompiledNetwork(parameters, 3, 1, backward=False)
    assert network.pool.executor is None  # a signal might reach one of its threads, and be lost


def test_nothing_is_learned_from_no_work() -> None:
    with AutotunedThreadPool("of this test", 4) as pool:
        pool.run_timed(lambda: None, 0)
    assert thread_pool._timings.pop("of this test") == ([], [])
