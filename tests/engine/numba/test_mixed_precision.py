"""Mixed precision in the compiled engine: products of pairs of bfloat16, and training with them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from elman.engine import TrainState, get_engine
from elman.engine.numba import panels, simd, tile
from elman.engine.numba.simd import aligned_zeros
from elman.engine.numba.tile import Matrix
from elman.engine.numba.training import Training
from elman.network import Optimizer
from elman.network.dropout import Dropout, WeightDropout
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Windows
from support import tolerances as tolerances
from support.networks import make_state
from support.tolerances import largest_relative_error

Array = NDArray[np.float32]
PANEL_WIDTH = 32
SINGLE, PAIRS = np.dtype(np.float32), np.dtype(np.uint32)


@cache
def from_python(kernel: Any) -> Any:
    """Return a kernel that Python can call, and that calls one which Python cannot."""

    @njit  # not cached
    def call(*arguments: Any) -> None:
        kernel(*arguments)

    return call


def random(rows: int, columns: int) -> Array:
    values = np.random.default_rng(rows + columns).normal(size=(rows, columns)).astype(np.float32)
    values.flat[:4] = 0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8  # a tie is rounded to the even one
    return values


def round_to_bfloat16(values: Array) -> NDArray[np.float64]:
    bits = values.view(np.uint32).astype(np.int64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def count_terms(depth: int) -> int:
    return -(-depth // (2 * tile.PAIR_TERMS)) * tile.PAIR_TERMS


def pack(B: Array, transposed: bool = False) -> NDArray[np.uint32]:
    packed = aligned_zeros(count_terms(len(B)) * B.shape[1], PAIRS)
    if transposed:
        from_python(panels.pack_panels_transposed)(
            packed, 0, np.ascontiguousarray(B.T).ravel(), 0, len(B), *B.shape, PANEL_WIDTH
        )
    else:
        from_python(panels.pack_panels)(packed, 0, B.ravel(), 0, B.shape[1], *B.shape, PANEL_WIDTH)
    return packed


COLUMNS = simd.BYTES // PAIRS.itemsize


@pytest.mark.parametrize(
    ("name", "target_row", "shape"),
    [
        ("_round_rows", (16,), (5, COLUMNS, 5)),
        ("_round_columns", (COLUMNS,), (COLUMNS, 5, COLUMNS)),
        ("_round_transposed", (), (5, 5, COLUMNS)),
        ("_pack_column_pairs", (16,), (COLUMNS, 5, COLUMNS)),
    ],
)
def test_the_terms_that_amx_has_more_are_zero(
    monkeypatch: pytest.MonkeyPatch, name: str, target_row: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """As the interpreter computes them, on any processor: three pairs of five numbers, for sixteen terms."""
    monkeypatch.setattr(panels, "PAIR_TERMS", 16)
    for step in ("even_terms", "round_pair", "_clear_terms"):
        monkeypatch.setattr(panels, step, getattr(panels, step).py_func)
    target, ones = np.full(16 * COLUMNS, 7, np.uint32), np.ones(5 * COLUMNS, np.float32)
    getattr(panels, name).py_func(target, 0, *target_row, ones, 0, *shape)
    sums = target.reshape(COLUMNS, 16) if target_row == (16,) else target.reshape(16, COLUMNS).T
    assert sums[:, :3].all()
    assert not sums[:, 3:].any()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 7, 16), (4, 1, 40), (16, 256, 96), (200, 33, 72)])
def test_a_product_is_that_of_rounded_factors(rows: int, depth: int, columns: int, transposed: bool) -> None:
    A, B, D = random(rows, depth), random(depth, columns), random(1, columns)
    C, scratch = np.zeros((rows, columns), np.float32), aligned_zeros(panels.scratch_size(max(depth, columns)), PAIRS)
    half = panels.Ranges(0, columns // 16 * 8, 1, 0)
    for ranges in (half, panels.Ranges(half.size, columns - half.size, 1, 0)):
        from_python(panels.multiply_panels)(
            Matrix(C.ravel(), 0, columns), Matrix(D.ravel(), 0, 0), Matrix(A.ravel(), 0, depth),
            panels.Panels(pack(B, transposed), 0, PANEL_WIDTH), rows, depth, columns, ranges,
            scratch, 0,
        )  # fmt: skip
    expected = D + round_to_bfloat16(A) @ round_to_bfloat16(B)
    assert largest_relative_error(C, expected) <= tolerances.PRODUCT_FLOAT32


@pytest.mark.parametrize(("depth", "rows", "columns"), [(1, 16, 16), (25, 24, 40), (600, 32, 72)])
def test_a_sum_of_outer_products_is_that_of_rounded_factors(depth: int, rows: int, columns: int) -> None:
    A, B = random(depth, rows), random(depth, columns)
    C, zeros = np.zeros((rows, columns), np.float32), np.zeros(columns, np.float32)
    scratch = aligned_zeros(panels.scratch_size(max(rows, columns)), PAIRS)
    packed = aligned_zeros(panels.TERMS * columns, PAIRS)
    for first in (0, 8):
        from_python(panels.sum_outer_products)(
            Matrix(C.ravel(), 0, columns), Matrix(A.ravel(), 0, rows), Matrix(B.ravel(), 0, columns),
            panels.Scratch(packed, 0), zeros, depth, columns, panels.Ranges(first, 8, rows // 16, 16),
            scratch, 0,
        )  # fmt: skip
    expected = round_to_bfloat16(A).T @ round_to_bfloat16(B)
    computed = rows // 16 * 16
    assert largest_relative_error(C[:computed], expected[:computed]) <= tolerances.PRODUCT_FLOAT32
    assert not C[computed:].any()


def test_a_processor_without_bfloat16_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simd, "HAS_BFLOAT16", False)
    monkeypatch.setattr(tile, "HAS_AMX", False)
    multiply_tile: Any = tile.tile

    @njit  # not cached
    def multiply(c: Any, a: Any, b: Any, terms: int) -> None:
        multiply_tile(c, 0, 8, c, 0, 8, a, 0, terms, 1, b, 0, 8, terms, 3, 1)

    A, B = random(3, 10), random(10, 8)
    C, terms = np.zeros((3, 8), np.float32), count_terms(10)
    rows = np.ascontiguousarray(pack(A.T.copy()).reshape(terms, 3).T)
    multiply(C.ravel(), rows.ravel(), pack(B), terms)
    assert largest_relative_error(C, round_to_bfloat16(A) @ round_to_bfloat16(B)) <= tolerances.PRODUCT_FLOAT32


NETWORKS: dict[str, dict[str, Any]] = {
    "gru": {"optimizer": "muon", "m": 33, "dropout": Dropout(0.2, False, 1), "weight_dropout": WeightDropout(0.1, 1)},
    "lstm": {"optimizer": "rmsprop", "m": 16},
}


def advance(state: TrainState, windows: Windows, optimizer: Optimizer) -> NDArray[np.float64]:
    return Training(state, windows, optimizer, True).advance(windows, 12, optimizer, None)


@pytest.mark.parametrize("cell", NETWORKS)
def test_training_is_near_that_in_float32(cell: str) -> None:
    """With two layers, a prior, resets, and odd numbers of units, characters and steps."""
    options = dict(NETWORKS[cell])
    name, m = options.pop("optimizer"), options.pop("m")
    optimizer = Optimizer(0.003, 1.0, name, "norm", **options)
    windows = Windows(np.random.default_rng(1).integers(0, 7, 500).astype(np.uint8), 7, 9, cross_fit=True)
    ngrams = count_ngrams(windows.indices, NgramSpec(7, 2, reset_at=0), 3)
    network: dict[str, Any] = {"cell": cell, "layers": 2, "batch_size": 9, "ngrams": ngrams, "reset_at": 0}
    state = make_state(7, m, 0.3, 400, np.float32, optimizer=optimizer, **network)
    mixed = copy.deepcopy(state)
    expected = get_engine("numba").advance(state, windows, 12, optimizer)
    losses = advance(mixed, windows, optimizer)
    assert 0 < largest_relative_error(losses, expected) <= tolerances.MIXED_PRECISION_LOSS
    again = make_state(7, m, 0.3, 400, np.float32, optimizer=optimizer, **network)
    assert np.array_equal(advance(again, windows, optimizer), losses)
