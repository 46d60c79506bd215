"""The codec's arithmetic is bit-identical under every compiler setting."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.compression import exact_coder, exact_kernels
from elman.compression.adaptive import compute_gradients
from elman.compression.exact_kernels import Floats
from elman.compression.exact_network import build_exact_network, round_to_float32
from elman.compression.range_coder import Coder
from elman.network import loss_and_gradients
from support.codec_models import K, make_model
from support.codec_subprocess import models, read
from support.exact_windows import fill_window
from support.missing_packages import hide_packages
from support.state import ROOT
from support.tolerances import FIXED_FUNCTIONS, FIXED_GRADIENTS

CELLS = pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 1), ("lstm", 3)])


def elsewhere(*arguments: object, **environment: str) -> str:
    """Run `codec_subprocess.py` in a separate process."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "codec_subprocess.py"), *map(str, arguments)]
    environment = os.environ | environment
    path = [str(ROOT / "tests"), *filter(None, [environment.get("PYTHONPATH")])]
    done = subprocess.run(
        command,
        env=environment | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


ELSEWHERE = [
    pytest.param({"NUMBA_DISABLE_JIT": "1"}, id="the interpreter alone"),
    pytest.param(
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, id="the oldest instructions", marks=pytest.mark.slow
    ),
    pytest.param(
        {"NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}, id="one number at a time", marks=pytest.mark.slow
    ),
    pytest.param({"NUMBA_OPT": "1"}, id="little optimized", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("environment", ELSEWHERE)
def test_what_is_compressed_here_is_read_elsewhere_and_the_other_way_round(
    here: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    if "NUMBA_CPU_NAME" not in environment:  # kernels of other options are cached under the same name
        environment = environment | {"ELMAN_CACHE": str(tmp_path / "cache")}
    elsewhere(here, there, **environment)
    compare(here, there)


def test_what_is_compressed_here_is_read_without_numba_and_the_other_way_round(here: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    elsewhere(here, there, **hide_packages(tmp_path / "hidden", "numba", "llvmlite", "scipy"))
    compare(here, there)


def compare(here: Path, there: Path) -> None:
    """Check that the files of two processes are the same, and that each reads those of the other."""
    for name, _, data, _ in models():
        assert (there / f"{name}.elm").read_bytes() == (here / f"{name}.elm").read_bytes(), name
        assert (there / f"{name}.text").read_bytes() == data, name
    read(there, here, there)  # files from there, here
    for name, _, data, _ in models():
        assert (there / f"{name}.text").read_bytes() == data, name


@pytest.mark.slow  # compiles everything; .ci/run has it
def test_no_product_is_fused_with_a_sum_and_many_are_taken_at_a_time(tmp_path: Path) -> None:
    counts = json.loads(elsewhere("--assembly", tmp_path, ELMAN_CACHE=str(tmp_path)))
    assert counts["fused"] == 0
    assert counts["packed"] > 10


def test_exp_tanh_and_sigmoid_are_those() -> None:
    x = np.linspace(-21.5, 21.5, 20_001, dtype=np.float32)
    wide = x.astype(np.float64)
    assert max(abs(exact_kernels.exp(number) / np.exp(float(number)) - 1) for number in x[::7]) < FIXED_FUNCTIONS
    for vector, right in ((exact_kernels.tanhs, np.tanh(wide)), (exact_kernels.sigmoids, 1 / (1 + np.exp(-wide)))):
        y = np.empty_like(x)
        vector(x, y)
        np.testing.assert_allclose(y, right, rtol=0, atol=FIXED_FUNCTIONS)


def test_exp_is_a_number_whatever_comes() -> None:
    for x in (np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45, -0.0):
        assert np.isfinite(exact_kernels.exp(np.float32(x)))
    assert exact_kernels.exp(np.float32(0)) == 1
    assert exact_kernels.sigmoid(np.float32(30)) == 1
    assert [exact_kernels.tanh(np.float32(x)) for x in (-30, 0, 30)] == [-1, 0, 1]


def symbol_freqs(logits: list[float], escape: int = 32, has_unknown: bool = False) -> Floats:
    o = np.array([logits], np.float32)
    freqs = np.empty((1, len(logits) + 1), np.float32)
    exact_kernels.compute_symbol_freqs(o, np.array([[escape, 0]], np.int64), np.zeros(1, np.int64), has_unknown, freqs)
    return freqs


LOGITS = st.lists(st.floats(width=32), min_size=1, max_size=40)


@settings(deadline=None)
@given(LOGITS, st.integers(31, (1 << 20) - 31), st.booleans())
def test_frequencies_are_whole_and_sum_to_their_whole(logits: list[float], escape: int, has_unknown: bool) -> None:
    freqs = symbol_freqs(logits, escape, has_unknown)[0]
    assert (freqs >= 0).all()
    assert (freqs == np.floor(freqs)).all()
    assert int(freqs.astype(np.int64).sum()) + len(freqs) == 1 << exact_kernels.FREQ_BITS


def test_frequencies_are_those_of_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 60)
    p = np.exp(logits) / np.exp(logits).sum()
    frequencies = (symbol_freqs(list(logits), 0)[0, :-1] + 1) / (1 << exact_kernels.FREQ_BITS)
    np.testing.assert_allclose(frequencies, p, rtol=FIXED_FUNCTIONS, atol=2.0 ** (2 - exact_kernels.FREQ_BITS))


@settings(deadline=None)
@given(LOGITS, st.data())
def test_the_coder_takes_exactly_these_frequencies(logits: list[float], data: st.DataObject) -> None:
    """The coder's interval, initially 2^64 - 1, is narrowed by exactly the frequencies up to the symbol."""
    freqs = symbol_freqs(logits)
    frequencies = freqs[0].astype(np.int64) + 1
    symbol = data.draw(st.integers(0, len(logits)))
    unit = ((1 << 64) - 1) >> exact_kernels.FREQ_BITS
    state = np.array([0, exact_coder.MAX_SIZE], np.uint64)
    exact_coder.encode(freqs, np.array([symbol]), state, np.zeros(1, np.uint32), 0)
    low, size = unit * int(frequencies[:symbol].sum()), unit * int(frequencies[symbol])
    assert [*map(int, state)] == ([low, size] if size >= 1 << 32 else [low << 32 & ((1 << 64) - 1), size << 32])


STEPS = st.lists(st.tuples(st.integers(0, 2**32), st.sampled_from([1, 8, 30, 200]), st.booleans()), max_size=60)


def make_step(seed: int, sharpness: int, most_likely: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Return the frequencies minus one of a random number of symbols, and one of the symbols."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 70))
    freqs = np.empty((1, n), np.float32)
    counts = (2.0**20 * generator.random(n) ** sharpness).astype(np.int64) + 1
    exact_kernels.apportion(counts, np.int64((1 << exact_kernels.FREQ_BITS) - n), freqs[0])
    return freqs, np.array([freqs.argmax() if most_likely else generator.integers(n)])


@settings(deadline=None)
@given(STEPS)
def test_the_coder_is_the_one_of_constriction(steps: list[tuple[int, int, bool]]) -> None:
    """It wrote the first files: its words, and the interval that it is left with, decide the payload."""
    ours, theirs = Coder(), constriction.stream.queue.RangeEncoder()
    family = constriction.stream.model.Categorical(perfect=False)
    for freqs, symbol in itertools.starmap(make_step, steps):
        ours.code(freqs, symbol)
        theirs.encode(symbol.astype(np.int32), family, freqs)
    position, (low, size) = theirs.pos()
    assert ([*map(int, ours.arrays.state)], ours.arrays.counters[exact_coder.COUNT]) == ([low, size], position)
    words = theirs.get_compressed()[: position + 1]
    point = int.from_bytes(words.astype(">u4").tobytes()) << 32 if len(words) else 0
    lower = int.from_bytes(ours.arrays.words[:position].astype(">u4").tobytes()) << 64 | low
    assert lower <= point < lower + size


@settings(deadline=None)
@given(STEPS)
def test_a_payload_is_as_short_as_its_information(steps: list[tuple[int, int, bool]]) -> None:
    encoder, bits, coded = Coder(), 0.0, []
    for freqs, symbol in itertools.starmap(make_step, steps):
        bits += exact_kernels.FREQ_BITS - float(np.log2(freqs[0, symbol[0]] + 1))
        encoder.code(freqs, symbol)
        coded.append((freqs, symbol))
    payload = encoder.finish()
    assert 8 * len(payload) < bits + 9
    decoder = Coder(payload)
    for freqs, symbol in coded:
        decoded = np.zeros(1, np.int64)
        decoder.code(freqs, decoded)
        assert decoded == symbol
    assert decoder.finish() == payload


@CELLS
def test_the_gradients_are_those_of_the_mathematics(cell: str, layers: int) -> None:
    model = make_model(cell, layers, dtype=np.float64)
    network = build_exact_network(model.parameters)
    x = np.random.default_rng(3).integers(0, K, 9)
    window = fill_window(network, x, round_to_float32(model.h))
    gradients = compute_gradients(network, window, np.empty_like(network.theta), trains_alpha=False).arrays
    expected = loss_and_gradients(model.parameters, model.h, x[:-1].astype(np.uint8), x[1:].astype(np.uint8))
    np.testing.assert_allclose(window.states[-1].reshape(-1), expected.h, atol=FIXED_FUNCTIONS)
    for name, gradient in expected.gradients.items():
        error = np.abs(gradients[name] - gradient.T).max() / np.abs(gradient).max()
        assert error < FIXED_GRADIENTS, name
