"""Whether work is shared out is found out once, whoever asks at the same time."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from elman.engine.numba import thread_pool
from elman.engine.numba.batched.network import LaidOut
from elman.engine.numba.thread_pool import Crew
from elman.network import initial_parameters


def test_crews_of_one_kind_come_to_rest_though_two_find_out_at_once() -> None:
    def work(_: int) -> None:
        with Crew("of this test", 4) as own:
            for _ in range(50):
                own.timed(lambda: None)

    with ThreadPoolExecutor(2) as both:
        list(both.map(work, range(2)))
    # One more each, as both may have looked before either wrote.
    assert all(len(timings) <= thread_pool._TRIALS + 1 for timings in thread_pool._timings.pop("of this test"))


def test_one_text_is_read_without_threads() -> None:
    parameters = initial_parameters(5, 4, 0.1, np.random.RandomState(1), np.dtype("float32"), "gru", 2)
    assert (
        LaidOut(parameters, 3, 1, backward=False).crew.pool is None
    )  # a signal might reach one of theirs, and be lost


def test_nothing_is_learned_from_no_work() -> None:
    with Crew("of this test", 4) as own:
        own.timed(lambda: None, 0)
    assert thread_pool._timings.pop("of this test") == ([], [])
