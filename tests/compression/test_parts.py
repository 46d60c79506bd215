"""Work in parts covers everything, and gives the same bits in any number of parts."""

import os
import signal
import threading

import numpy as np
import pytest

from elman.compression import compress, decompress, parts, predictor
from elman.compression.parts import MIN_WORK, add_matmul, run_parts, start_task
from support.cells import EXACT_CELLS
from support.codec_models import ADAPTATIONS, INPUTS, make_model
from support.small_blocks import small_blocks

CORES = pytest.mark.parametrize("cores", [1, 2, 3])


@CORES
@pytest.mark.parametrize("n", [1, 2, 7])
def test_parts_cover_everything_once(cores: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "core_count", lambda: cores)
    slices = list[slice]()
    run_parts(slices.append, n, 100 * MIN_WORK)
    assert sorted(i for part in slices for i in range(n)[part]) == [*range(n)]
    assert len(slices) == min(cores, n)


def test_little_work_is_not_divided() -> None:
    slices = list[slice]()
    run_parts(slices.append, 10, MIN_WORK)
    assert slices == [slice(0, 10)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # since Python 3.12, where there are several threads
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "core_count", lambda: 2)
    run_parts(lambda part: None, 2, 100 * MIN_WORK)
    process = os.fork()
    if process == 0:
        signal.alarm(20)  # ends it if the work never does
        run_parts(lambda part: None, 2, 100 * MIN_WORK)
        os._exit(start_task(lambda: 5).result())
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 5


@pytest.mark.parametrize("cores", [1, 2])
def test_a_task_has_a_thread_of_its_own_if_there_is_a_core(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "core_count", lambda: cores)
    assert (start_task(threading.get_ident).result() == threading.get_ident()) == (cores == 1)


def test_an_error_of_a_part_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "core_count", lambda: 2)

    def fail(part: slice) -> None:
        if part.start > 0:
            raise ValueError("second part")

    with pytest.raises(ValueError, match="second part"):
        run_parts(fail, 2, 100 * MIN_WORK)


@CORES
def test_a_product_is_the_same_in_parts(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, B = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 5), (5, 11)))
    whole, y = np.ones((7, 11), np.float32), np.ones((7, 11), np.float32)
    add_matmul(whole, a, B)
    monkeypatch.setattr(parts, "core_count", lambda: cores)
    monkeypatch.setattr(parts, "MIN_WORK", 1)
    add_matmul(y, a, B)
    np.testing.assert_array_equal(y, whole)


@pytest.mark.parametrize("cell", EXACT_CELLS)
@small_blocks(substream=80)
def test_files_are_the_same_on_any_number_of_cores(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = make_model(cell, 2, order=2), INPUTS["long"]
    files = [compress(model, data, adapt=adapt) for adapt in ADAPTATIONS]
    monkeypatch.setattr(parts, "core_count", lambda: 3)
    for module in (parts, predictor):
        monkeypatch.setattr(module, "MIN_WORK", 1)
    assert [compress(model, data, adapt=adapt) for adapt in ADAPTATIONS] == files
    assert [decompress(model, file) for file in files] == [data] * len(files)
