"""The building blocks of the compiled engine, each against NumPy, in both dtypes.

What is inlined is called through a wrapper compiled here, as the engine's own kernels call it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit
from numba.core import cgutils
from numpy.typing import NDArray

from elman.engine.numba import layout, online_rnn, simd, tile, vector
from elman.jit import kernel
from elman.network import Optimizer, output
from elman.network.optimizer import EPSILON
from elman.network.parameters import Architecture, Arrays
from support import tolerances as tolerances
from support.cells import COMPILED_CELLS

Dtype = type[np.floating]
Values = NDArray[np.floating]

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
GUARD = 77.0


def units(dtype: Dtype, n: float) -> float:
    """Return n machine epsilons."""
    return n * float(np.finfo(dtype).eps)


@both_dtypes
@pytest.mark.parametrize("cell", COMPILED_CELLS)
def test_every_array_begins_at_a_whole_vector(dtype: Dtype, cell: str) -> None:
    kind = np.dtype(dtype)
    made = layout.make_layout(Architecture(7, 5, cell, 2, context_length=3), kind, 4)
    s = made.sizes
    places = [*made.offsets.ravel(), s.V, s.c, s.alpha, s.V_forward, s.V_backward, s.c_padded, s.m_row, s.K_row]
    assert {int(place) % layout.row_multiple(kind) for place in places} == {0}
    assert {simd.aligned_zeros(n, kind).ctypes.data % simd.CACHE_LINE for n in range(1, 9)} == {0}


def vector_function(name: str) -> Any:
    """Return a kernel that fills `out` with a function of x, both of full vectors."""

    @tile.row_kernel
    def apply(builder: Any, target: Any, source: Any, vectors: Any) -> None:
        view = simd.Simd(builder, target.kind)
        with cgutils.for_range(builder, vectors) as loop:
            view.store(getattr(view, name)(view.load(view.vector(source, loop.index))), view.vector(target, loop.index))

    @njit  # not cached, as the cache would not tell these functions apart
    def every(x: Any, out: Any, vectors: Any) -> None:
        apply(out, 0, x, 0, vectors)

    return every


@kernel
def adagrad_rows(
    theta: Any, M: Any, gradient: Any, start: Any, vectors: Any, columns: Any, c: Any, column_row: Any,
    rate: Any, clip: Any, epsilon: Any,
) -> None:  # fmt: skip
    vector.adagrad_rows(
        theta, start, M, start, gradient, start, vectors, columns, c, column_row, rate, clip, epsilon
    )  # fmt: skip


@kernel
def adagrad(theta: Any, M: Any, gradient: Any, rate: Any, clip: Any, epsilon: Any) -> None:
    vectors = len(theta) * theta.itemsize // simd.BYTES
    vector.adagrad(theta, 0, M, 0, gradient, 0, vectors, rate, clip, epsilon)


@kernel
def softmax_loss(rows: Any, K_row: Any) -> Any:
    T = len(rows.totals)
    online_rnn.compute_softmax(rows, 0, T, K_row)
    return online_rnn.sum_losses(rows.differences, rows.totals, T)


# --- exp, tanh and the sigmoid ---

FUNCTIONS: dict[str, tuple[Any, Any, float]] = {
    "exp": (vector_function("exp"), np.exp, tolerances.EXP_ULP),
    "tanh": (vector_function("tanh"), np.tanh, tolerances.TANH_ULP),
    "sigmoid": (vector_function("sigmoid"), lambda x: 1 / (1 + np.exp(-x)), tolerances.SIGMOID_ULP),
}
EXP_LIMIT: dict[Dtype, float] = {np.float32: 87.0, np.float64: 708.0}
"""Where 2^n, in e^x = 2^n e^r, is near the last normal number. Beyond, exp is constant; below, it is 0."""
TANH_LIMIT: dict[Dtype, float] = {np.float32: 11.5, np.float64: 26.0}
"""Where tanh is exactly 1, and e^{2x} need not grow any more."""

all_functions = pytest.mark.parametrize("name", FUNCTIONS)


def computed(name: str, x: Values) -> Values:
    lanes = simd.BYTES // x.itemsize
    padded = np.concatenate([x, np.zeros(-len(x) % lanes, x.dtype)])
    out = np.empty_like(padded)
    FUNCTIONS[name][0](padded, out, len(padded) // lanes)
    return out[: len(x)]


def arguments(name: str, dtype: Dtype) -> Values:
    """Return numbers of every magnitude and both signs, and some with the largest r of either sign."""
    limit = (TANH_LIMIT if name == "tanh" else EXP_LIMIT)[dtype]
    generator = np.random.default_rng(1)
    smallest = math.log2(np.finfo(dtype).tiny)
    sizes = 2.0 ** generator.uniform(smallest, math.log2(limit), 200_000)
    period = math.log(2) / 2 if name == "tanh" else math.log(2)
    halfway = (np.arange(math.floor(limit / period)) + 0.5) * period
    around = np.outer(halfway, 1 + generator.normal(size=200) * 1e-6).ravel()
    x = np.concatenate([generator.uniform(0, limit, 500_000), sizes, around[around < limit], [0.0, limit]])
    return np.concatenate([x, -x]).astype(dtype)


@both_dtypes
@all_functions
def test_fast_functions_are_within_their_ulp(name: str, dtype: Dtype) -> None:
    wider = np.float64 if dtype is np.float32 else np.longdouble
    if np.finfo(wider).nmant <= np.finfo(dtype).nmant:
        pytest.skip("no floating-point type on this machine is more precise than a double")
    _, function, limit = FUNCTIONS[name]
    x = arguments(name, dtype)
    right = function(x.astype(wider))
    errors = np.abs(computed(name, x) - right) / np.spacing(np.abs(right).astype(dtype))
    assert errors.max() <= limit


@both_dtypes
@all_functions
def test_nan_stays_nan(name: str, dtype: Dtype) -> None:
    """In every lane of a vector, and in a remainder that does not fill one."""
    for position in range(19):
        x = np.zeros(19, dtype)
        x[position] = np.nan
        np.testing.assert_array_equal(np.isnan(computed(name, x)), np.isnan(x))


@both_dtypes
def test_exp_is_exact_at_zero_constant_above_its_limit_and_zero_below(dtype: Dtype) -> None:
    limit = EXP_LIMIT[dtype]
    beyond = np.array([limit * 1.01, limit * 1e6, np.inf], dtype)
    np.testing.assert_array_equal(computed("exp", np.array([0.0, -0.0], dtype)), [1, 1])
    np.testing.assert_array_equal(computed("exp", beyond), computed("exp", np.full(3, limit, dtype)))
    np.testing.assert_array_equal(computed("exp", -beyond), np.zeros(3))
    assert 0 < computed("exp", np.array([-limit], dtype))[0] < 2 * np.finfo(dtype).tiny


@both_dtypes
def test_tanh_is_odd_never_falls_and_saturates_at_one(dtype: Dtype) -> None:
    limit = TANH_LIMIT[dtype]
    beyond = np.array([limit, limit * 1.01, limit * 1e6, np.finfo(dtype).max, np.inf], dtype)
    np.testing.assert_array_equal(computed("tanh", beyond), np.ones(5))
    h = computed("tanh", np.linspace(-2 * limit, 2 * limit, 100_001).astype(dtype))
    assert np.abs(h).max() == 1
    fall = np.maximum(0, -np.diff(h))
    assert (fall <= 2 * tolerances.TANH_ULP * np.spacing(np.abs(h[1:]))).all()
    x = arguments("tanh", dtype)
    h, mirrored = computed("tanh", x), -computed("tanh", -x)
    assert (np.abs(h - mirrored) <= 2 * tolerances.TANH_ULP * np.spacing(np.abs(h))).all()
    np.testing.assert_array_equal(computed("tanh", np.zeros(1, dtype)), 0)


# --- The product ---
# Small integers: every sum is exact in either dtype, in any order.

ROWS = [*range(1, 15), 31]
VECTORS = [n for n in range(1, 40) if n % -(-n // tile.MAX_VECTORS) == 0]
"""Multiples of the strip width, as padded rows are."""
DEPTHS = (0, 1, 7, 30)


def random_integers(generator: np.random.Generator, size: int, dtype: Dtype) -> Values:
    return generator.integers(-9, 10, size).astype(dtype)


def storage_of(view: Values) -> tuple[Values, int, int, int]:
    """Return the flat storage of a matrix, where it begins there, and its two strides."""
    storage = view.base
    assert storage is not None
    row, column = (stride // view.itemsize for stride in view.strides)
    return storage, (view.ctypes.data - storage.ctypes.data) // view.itemsize, row, column


def matrix(storage: Values, rows: int, columns: int, row: int) -> Values:
    """Return a matrix inside `storage`, whose rows are `row` elements apart and not aligned to vectors."""
    return storage[3 : 3 + rows * row].reshape(rows, row)[:, :columns]


@both_dtypes
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("added", ["bias", "matrix", "itself"])
@pytest.mark.parametrize("strided", [False, True])
def test_a_product_of_every_shape(dtype: Dtype, backwards: bool, added: str, strided: bool) -> None:
    """Exact, and only C is written."""
    generator = np.random.default_rng(1)
    lanes = simd.BYTES // np.dtype(dtype).itemsize
    values = random_integers(generator, 40_000, dtype)
    for rows, vectors, depth in itertools.product(ROWS, VECTORS, DEPTHS):
        columns = vectors * lanes
        c_storage = np.full(rows * (columns + 5) + 60, GUARD, dtype)
        C = matrix(c_storage, rows, columns, columns + 5)
        A = matrix(values, depth, rows, rows + 2).T if strided else matrix(values, rows, depth, depth + 2)
        B = matrix(values[1000:], depth, columns, columns + 1)
        D = matrix(values[500:], rows, columns, columns + 1)
        if backwards:
            A, B = A[:, ::-1], B[::-1]
        if added == "itself":
            C[:] = D
            D = C
        d_row = 0 if added == "bias" else storage_of(D)[2]
        right = c_storage.copy()
        matrix(right, rows, columns, columns + 5)[:] = (D[:1] if added == "bias" else D) + A @ B
        strip = -(-vectors // -(-vectors // tile.MAX_VECTORS)) * lanes  # rows of B are contiguous here
        added_to, a = tile.Matrix(*storage_of(D)[:2], d_row), storage_of(A)
        strips = tile.Strips(*storage_of(B)[:3], strip)
        c = tile.Matrix(*storage_of(C)[:3])
        tile.multiply(c, added_to, tile.Matrix(*a[:3]), a[3], strips, rows, depth, vectors)
        assert np.array_equal(c_storage, right), (rows, vectors, depth)


# --- AdaGrad ---


@both_dtypes
def test_an_update_is_that_of_the_reference(dtype: Dtype) -> None:
    """With gradients of every magnitude, some of which are clipped, and sums some of which are zero."""
    generator = np.random.default_rng(1)
    n = 4000
    theta = generator.normal(size=n).astype(dtype)
    M = (10 ** generator.uniform(-12, 4, n) * generator.integers(0, 2, n)).astype(dtype)
    gradient = (generator.normal(size=n) * 10 ** generator.uniform(-8, 3, n)).astype(dtype)
    before = theta.astype(np.float64)
    parameters: Arrays = {"b": before.copy()}
    squares: Arrays = {"b": M.astype(np.float64)}
    rate, clip, epsilon = dtype(0.1), dtype(5), dtype(EPSILON)
    Optimizer(float(rate), float(clip)).update(1, parameters, squares, {}, {}, {"b": gradient.astype(np.float64)})
    adagrad(theta, M, gradient, rate, clip, epsilon)
    np.testing.assert_allclose(M, squares["b"], rtol=units(dtype, tolerances.ROUNDINGS))
    scale = np.abs(before) + np.abs(parameters["b"] - before)
    assert (np.abs(theta - parameters["b"]) <= units(dtype, tolerances.ADAGRAD_STEP) * scale).all()


@both_dtypes
@pytest.mark.parametrize("vectors", [1, 2, 5, 13])
def test_an_update_of_rows_is_the_same_and_leaves_its_transpose(dtype: Dtype, vectors: int) -> None:
    generator = np.random.default_rng(vectors)
    lanes = simd.BYTES // np.dtype(dtype).itemsize
    columns, start, column_row = vectors * lanes, 3, lanes + 5
    theta, M, gradient = (generator.normal(size=start + lanes * columns).astype(dtype) ** 2 for _ in range(3))
    expected, sums = theta[start:].copy(), M[start:].copy()
    hyperparameters = (dtype(0.1), dtype(0.5), dtype(EPSILON))
    adagrad(expected, sums, gradient[start:].copy(), *hyperparameters)
    transposed = np.full(columns * column_row + 4, GUARD, dtype)
    adagrad_rows(theta, M, gradient, start, vectors, transposed, 2, column_row, *hyperparameters)
    np.testing.assert_array_equal(theta[start:], expected)
    np.testing.assert_array_equal(M[start:], sums)
    actual = transposed[2 : 2 + columns * column_row].reshape(columns, column_row)
    np.testing.assert_array_equal(actual[:, :lanes], expected.reshape(lanes, columns).T)
    np.testing.assert_array_equal(actual[:, lanes:], GUARD)


@both_dtypes
def test_a_gradient_of_zero_changes_nothing_and_one_that_is_not_a_number_is_not_clipped_away(dtype: Dtype) -> None:
    theta, M, gradient = np.ones(16, dtype), np.arange(16).astype(dtype), np.zeros(16, dtype)
    gradient[3] = np.nan
    adagrad(theta, M, gradient, dtype(0.1), dtype(5), dtype(EPSILON))
    np.testing.assert_array_equal(theta, np.where(np.isnan(gradient), np.nan, 1))
    np.testing.assert_array_equal(M, np.where(np.isnan(gradient), np.nan, np.arange(16)))


# --- Softmax and its loss ---


class SoftmaxRows(NamedTuple):
    """What `online_rnn.compute_softmax` reads and writes of a workspace."""

    g: Values
    indices: NDArray[np.intp]
    differences: NDArray[np.float64]
    totals: NDArray[np.float64]


def softmax_of(o: Values, y: NDArray[np.unsignedinteger]) -> tuple[float, Values]:
    """Return L and p - y of logits o (T, K), whose rows are padded with -infinity, which becomes 0."""
    T, K = o.shape
    lanes = simd.BYTES // o.itemsize
    K_row = -(-K // lanes) * lanes + lanes
    g = np.full((T, K_row), -np.inf, o.dtype)
    g[:, :K] = o
    loss = softmax_loss(SoftmaxRows(g.reshape(-1), np.append(0, y), np.empty(T), np.empty(T)), K_row)
    if math.isfinite(loss):
        np.testing.assert_array_equal(g[:, K:], 0)
    return loss, g[:, :K]


@both_dtypes
@pytest.mark.parametrize("T", [1, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("K", [2, 7, 80, 5000])
def test_softmax_and_loss_are_those_of_the_reference(dtype: Dtype, K: int, T: int) -> None:
    generator = np.random.default_rng(K + T)
    o = generator.normal(size=(T, K)).astype(dtype)
    y = generator.integers(0, K, T).astype(np.uint16)
    loss, g = softmax_of(o, y)
    p = output.softmax(o.astype(np.float64))
    p[np.arange(T), y] -= 1
    unit = units(dtype, tolerances.SOFTMAX)
    assert loss == pytest.approx(output.loss(o.astype(np.float64), y), abs=unit * T * math.log(K))
    np.testing.assert_allclose(g, p, rtol=0, atol=unit)


@both_dtypes
def test_the_largest_sums_do_not_overflow(dtype: Dtype) -> None:
    """Every step's sum is K; the product of 32 of them is e^272, and of 100 it would be beyond a double."""
    loss, g = softmax_of(np.zeros((100, 5000), dtype), np.zeros(100, np.uint16))
    assert loss == pytest.approx(100 * math.log(5000), rel=units(np.float64, tolerances.ROUNDINGS))
    np.testing.assert_allclose(g[:, 1:], 1 / 5000, rtol=units(dtype, tolerances.ROUNDINGS))


@both_dtypes
def test_logits_of_a_thousand(dtype: Dtype) -> None:
    o = np.array([[1000, -1000, 1000, 0], [-1000, -1000, -1000, -1000], [1000, -1000, 0, -1000]], dtype)
    loss, g = softmax_of(o, np.array([0, 3, 1], np.uint8))
    assert loss == pytest.approx(math.log(2) + math.log(4) + 2000, rel=units(dtype, tolerances.ROUNDINGS))
    right = np.array([[-0.5, 0, 0.5, 0], [0.25, 0.25, 0.25, -0.75], [1, -1, 0, 0]])
    np.testing.assert_allclose(g, right, rtol=0, atol=tolerances.ROUNDINGS * float(np.finfo(dtype).tiny))


@both_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("K", [2, 8, 19])
def test_a_logit_that_is_no_number_makes_the_loss_nan(dtype: Dtype, K: int, value: float) -> None:
    """Wherever it is: at the target or elsewhere, at the first step or after the 32nd."""
    for k, t in itertools.product(range(K), (0, 33)):
        o = np.random.default_rng(k).normal(size=(35, K)).astype(dtype)
        o[t, k] = value
        loss, _ = softmax_of(o, np.ones(35, np.uint8))
        assert math.isnan(loss)
