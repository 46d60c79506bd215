"""Files that no encoder wrote: they are refused in one line, soon, and take no memory."""

import random
import time
import tracemalloc

import pytest

from elman.compression import compress, decompress
from elman.errors import ElmanError
from support.codec_models import INPUTS, made

MODEL = made()
FILES = [
    (compress(MODEL, INPUTS[name], adapt=adapt), INPUTS[name])
    for name in ("one byte", "text", "noise", "long", "another script")
    for adapt in (False, True)
]


def mutated(file: bytes, chance: random.Random) -> bytes:
    """Return a file that is changed in one to three places, cut or longer."""
    changed = bytearray(file)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randint(1, 20)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 20))
            case 3 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case _:
                del changed[at:]
    return bytes(changed)


def refused_or_right(file: bytes, original: bytes) -> None:
    """Decompress a file, which gives an error in one line or the very text."""
    try:
        found = decompress(MODEL, file)
    except ElmanError as error:
        assert "\n" not in str(error)  # noqa: PT017 (any of several)
        return
    assert found == original


def spoil(seeds: range) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        file, original = chance.choice(FILES)
        refused_or_right(mutated(file, chance), original)


def test_spoilt_files_are_refused() -> None:
    spoil(range(300))


@pytest.mark.slow
def test_thousands_of_spoilt_files_are_refused() -> None:
    spoil(range(300, 6_000))


def test_noise_is_refused() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        start = FILES[seed % len(FILES)][0][:6]  # behind a header that fits
        with pytest.raises(ElmanError):
            decompress(MODEL, start + chance.randbytes(chance.randrange(60)))


@pytest.mark.parametrize("digits", [b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x40"])
def test_a_false_length_takes_no_time_and_no_memory(digits: bytes) -> None:
    good = compress(MODEL, INPUTS["long"])
    for mode in (0, 1, 2):
        file = bytes([good[0] & ~3 | mode]) + digits + good[3:]
        began = time.process_time()
        tracemalloc.start()
        with pytest.raises(ElmanError):
            decompress(MODEL, file)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4_000_000
        assert time.process_time() - began < 5
