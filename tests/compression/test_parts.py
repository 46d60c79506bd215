"""Work in parts covers everything, and gives the same bits in any number of parts."""

import os

import numpy as np
import pytest

from elman.compression import compress, parts
from elman.compression.exact_network import build_exact_network, forward_step, forward_step_in_parts
from elman.compression.parts import MIN_WORK, add_matmul, run_parts
from support.cells import EXACT_CELLS
from support.codec_models import INPUTS, K, make_model
from support.small_blocks import small_blocks

CORES = pytest.mark.parametrize("cores", [1, 2, 3])


@CORES
@pytest.mark.parametrize("n", [1, 2, 7])
def test_parts_cover_everything_once(cores: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    slices = list[slice]()
    run_parts(slices.append, n, 100 * MIN_WORK)
    assert sorted(i for part in slices for i in range(n)[part]) == [*range(n)]
    assert len(slices) == min(cores, n)


def test_little_work_is_not_divided() -> None:
    slices = list[slice]()
    run_parts(slices.append, 10, MIN_WORK)
    assert slices == [slice(0, 10)]


def test_an_error_of_a_part_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

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
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(parts, "MIN_WORK", 1)
    add_matmul(y, a, B)
    np.testing.assert_array_equal(y, whole)


@pytest.mark.parametrize("cell", EXACT_CELLS)
def test_a_step_is_the_same_in_parts(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_exact_network(make_model(cell, 2).parameters)
    rng = np.random.default_rng(0)
    before, x = rng.normal(size=(network.P, 5, network.m)).astype(np.float32), rng.integers(0, K, 5)
    whole = forward_step(network, before, x)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(parts, "MIN_WORK", 1)
    step = forward_step_in_parts(network, before, x)
    np.testing.assert_array_equal(step.after, whole.after)
    np.testing.assert_array_equal(step.logits, whole.logits)
    if cell != "rnn":  # which stores no gates
        used = 4 * network.m
        np.testing.assert_array_equal(step.gates[:, :, :used], whole.gates[:, :, :used])


@pytest.mark.parametrize("cell", EXACT_CELLS)
@small_blocks(substream=80)
def test_files_are_the_same_on_any_number_of_cores(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(cell, 2, order=2)
    files = [compress(model, INPUTS["long"], adapt=adapt) for adapt in ("weights", "mixture", "all")]
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(parts, "MIN_WORK", 1)
    assert [compress(model, INPUTS["long"], adapt=adapt) for adapt in ("weights", "mixture", "all")] == files
