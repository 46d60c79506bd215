"""An assistant changes no file, stops nothing, and ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import pytest
from numba.core import config

from elman.compression import assistant, codec, compress, decompress, shared_forward
from elman.compression.adaptive import make_window
from elman.compression.assistant import Assistant, share_forward
from elman.compression.exact_network import build_exact_network
from elman.compression.shared_forward import SharedForward
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference import Model
from elman.text import Alphabet
from support.codec_models import ALPHABET, INPUTS, make_model

UNTRAINED: tuple[CodecAdapt, ...] = ("counts", "mixture", "bitwise")
"""The adaptations in which the network is not trained."""
SHAPES = pytest.mark.parametrize(("layers", "m"), [(1, 64), (2, 40)])


class RecordingPool(ThreadPoolExecutor):
    """Two threads; remembers what was submitted."""

    def __init__(self) -> None:
        super().__init__(2)
        self.runs: list[Any] = []

    def submit(self, *arguments: Any, **options: Any) -> Any:
        self.runs.append(super().submit(*arguments, **options))
        return self.runs[-1]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingPool]:
    """The pool of the assistants; small networks have one."""
    monkeypatch.setattr(assistant, "MIN_SHARED_WEIGHTS", 1)
    monkeypatch.setattr(assistant, "thread_count", lambda: 2)
    with RecordingPool() as pool:
        monkeypatch.setattr(assistant, "thread_pool", lambda: pool)
        yield pool


def prior_model(layers: int = 2, m: int = 40, *, has_unknown: bool = False) -> Model:
    alphabet = Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True) if has_unknown else ALPHABET
    return make_model("gru", layers, alphabet=alphabet, order=2, m=m, std=0.2)


def share(cell: str = "gru", m: int = 40, R: int = 1) -> SharedForward:
    network = build_exact_network(make_model(cell, m=m).parameters)
    return share_forward(network, make_window(network, 1, R))


@SHAPES
@pytest.mark.parametrize("has_unknown", [False, True])
@pytest.mark.parametrize("name", ["long", "broken UTF-8", "every byte", "one byte", "empty"])
def test_files_are_the_same_with_an_assistant(
    layers: int, m: int, name: str, has_unknown: bool, request: pytest.FixtureRequest
) -> None:
    model, data = prior_model(layers, m, has_unknown=has_unknown), INPUTS[name]
    files = [compress(model, data, adapt=adapt) for adapt in UNTRAINED]
    pool = request.getfixturevalue("pool")
    assert [compress(model, data, adapt=adapt) for adapt in UNTRAINED] == files
    assert [decompress(model, file) for file in files] == [data] * len(files)
    assert bool(pool.runs) == bool(data)
    assert all(run.done() for run in pool.runs)


def test_an_assistant_that_does_not_come_stops_nothing(pool: RecordingPool) -> None:
    model, data = prior_model(), INPUTS["long"]
    file = compress(model, data, adapt="bitwise")
    released = Event()
    for _ in range(2):
        pool.submit(released.wait)
    try:
        assert compress(model, data, adapt="bitwise") == file
        assert decompress(model, file) == data
        assert all(run.cancelled() for run in pool.runs[-2:])
    finally:
        released.set()


@pytest.mark.parametrize("cores", [2, 6])
def test_threads_that_compress_with_one_model_do_not_disturb_each_other(
    cores: int, pool: RecordingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assistant, "thread_count", lambda: cores)
    model, data = prior_model(), INPUTS["long"] * 3
    file = compress(model, data, adapt="bitwise")
    with ThreadPoolExecutor(3) as threads:
        files = [*threads.map(lambda _: compress(model, data, adapt="bitwise"), range(6))]
        texts = [*threads.map(lambda _: decompress(model, file), range(6))]
    assert files == [file] * 6
    assert texts == [data] * 6


def test_an_error_ends_the_assistant(pool: RecordingPool) -> None:
    model = prior_model()
    file = compress(model, INPUTS["long"], adapt="bitwise")
    with pytest.raises(ElmanError):
        decompress(model, file[:-20] + bytes(20))

    def stop(progress: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        codec.compress(model, INPUTS["long"], adapt="bitwise", on_progress=stop)
    assert len(pool.runs) >= 3  # more if one of them was idle for a while
    assert all(run.done() for run in pool.runs)


def test_an_assistant_without_work_ends_and_starts_again(pool: RecordingPool) -> None:
    shared = share()
    with Assistant(shared) as helper:
        for runs in (1, 2):
            helper.start()
            pool.runs[-1].result()
            assert len(pool.runs) == runs
    assert shared.cursors.any()


def test_no_assistant_takes_the_core_of_a_thread_that_codes(pool: RecordingPool) -> None:
    with Assistant(share()) as helper:
        helper.start()
        with Assistant(share()) as other:
            other.start()
            helper.start()
            assert [run.done() for run in pool.runs] == [True]
        helper.start()
        assert len(pool.runs) == 2


@pytest.mark.usefixtures("pool")
def test_only_one_row_of_a_gru_has_an_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(share().queue)
    assert not len(share(R=2).queue)
    assert not len(share("lstm").queue)
    assert not len(share("rnn").queue)
    monkeypatch.setattr(assistant, "MIN_SHARED_WEIGHTS", 3 * 40 * 40 + 1)
    assert not len(share().queue)
    assert len(share(m=41).queue)


def test_a_network_that_is_trained_has_no_assistant(pool: RecordingPool) -> None:
    for adapt in (False, "weights", "both", "all"):
        compress(prior_model(), INPUTS["text"], adapt=adapt)
    assert not pool.runs


def test_one_thread_has_no_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant, "MIN_SHARED_WEIGHTS", 1)
    monkeypatch.setattr(assistant, "core_count", lambda: 1)
    assert not len(share().queue)


def test_kernels_that_are_not_compiled_have_no_assistant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assistant, "core_count", lambda: 2)
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 2)
    assert assistant.thread_count() == 2
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    assert assistant.thread_count() == 1
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(assistant, "NUMBA_INSTALLED", False)
    assert assistant.thread_count() == 1


def test_panels_are_aligned_and_complete() -> None:
    matrices = [np.arange(2 * n, dtype=np.float32).reshape(2, n) for n in (shared_forward.WIDTH + 3, 5)]
    panels = assistant.pack_panels(matrices)
    assert panels.ctypes.data % 64 == 0
    W = shared_forward.WIDTH
    expected = [matrices[0][:, :W], matrices[0][:, W:], matrices[1]]
    np.testing.assert_array_equal(panels, np.concatenate([panel.reshape(-1) for panel in expected]))
