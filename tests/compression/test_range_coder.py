"""The range coder is that of constriction, and its payloads are as short as their information."""

import itertools

import constriction
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elman.compression import range_coder
from elman.compression.arithmetic import FREQ_BITS, Floats, Ints, apportion
from elman.compression.range_coder import COUNT, Coder

STEPS = st.lists(st.tuples(st.integers(0, 2**32), st.sampled_from([1, 8, 30, 200]), st.booleans()), max_size=60)


def make_step(seed: int, sharpness: int, most_likely: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Return the frequencies minus one of a random number of symbols, and one of the symbols."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 70))
    freqs = np.empty((1, n), np.float32)
    counts = (2.0**20 * generator.random(n) ** sharpness).astype(np.int64) + 1
    apportion(counts, np.int64((1 << FREQ_BITS) - n), freqs[0])
    return freqs, np.array([freqs.argmax() if most_likely else generator.integers(n)])


def code(coder: Coder, freqs: Floats, symbols: Ints) -> None:
    coder.reserve(len(symbols))
    assert range_coder.code(coder.arrays, freqs, symbols)


@settings(deadline=None)
@given(STEPS)
def test_the_coder_is_the_one_of_constriction(steps: list[tuple[int, int, bool]]) -> None:
    """Its words, and the interval that it is left with, decide the payload."""
    ours, theirs = Coder(), constriction.stream.queue.RangeEncoder()
    family = constriction.stream.model.Categorical(perfect=False)
    for freqs, symbol in itertools.starmap(make_step, steps):
        code(ours, freqs, symbol)
        theirs.encode(symbol.astype(np.int32), family, freqs)
    position, (low, size) = theirs.pos()
    assert ([*map(int, ours.arrays.state)], ours.arrays.counters[COUNT]) == ([low, size], position)
    words = theirs.get_compressed()[: position + 1]
    point = int.from_bytes(words.astype(">u4").tobytes()) << 32 if len(words) else 0
    lower = int.from_bytes(ours.arrays.words[:position].astype(">u4").tobytes()) << 64 | low
    assert lower <= point < lower + size


@settings(deadline=None)
@given(STEPS)
def test_a_payload_is_as_short_as_its_information(steps: list[tuple[int, int, bool]]) -> None:
    encoder, bits, coded = Coder(), 0.0, []
    for freqs, symbol in itertools.starmap(make_step, steps):
        bits += FREQ_BITS - float(np.log2(freqs[0, symbol[0]] + 1))
        code(encoder, freqs, symbol)
        coded.append((freqs, symbol))
    payload = encoder.finish()
    assert 8 * len(payload) < bits + 9
    decoder = Coder(payload)
    for freqs, symbol in coded:
        decoded = np.zeros(1, np.int64)
        code(decoder, freqs, decoded)
        assert decoded == symbol
    assert decoder.finish() == payload
