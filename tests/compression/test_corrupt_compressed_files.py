"""Files that no encoder wrote are refused in one line, quickly and without much memory."""

import random
import time
import tracemalloc

import pytest

from elman.compression import blocks, compress, decompress
from elman.errors import ElmanError
from elman.inference import Model
from support.codec_models import ADAPTATIONS, INPUTS, make_model

MODEL, PRIOR = make_model(), make_model(order=4)
NAMES = ("one byte", "text", "noise", "long", "another script")
FILES = [(compress(MODEL, INPUTS[name], adapt=adapt), INPUTS[name]) for name in NAMES for adapt in (False, True)]
PRIOR_FILES = [(compress(PRIOR, INPUTS[name], adapt=adapt), INPUTS[name]) for name in NAMES for adapt in ADAPTATIONS]


def mutate(file: bytes, rng: random.Random) -> bytes:
    """Return a file changed at one to three positions, truncated or extended."""
    changed = bytearray(file)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[at : at + rng.randint(1, 20)]
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 20))
            case 3 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case _:
                del changed[at:]
    return bytes(changed)


def check_refused_or_correct(file: bytes, original: bytes, model: Model = MODEL) -> None:
    """Decompress a file, which must raise a one-line error or give the original."""
    try:
        result = decompress(model, file)
    except ElmanError as error:
        assert "\n" not in str(error)  # noqa: PT017 (any of several)
        return
    assert result == original


def check_corrupt_files(seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        file, original = rng.choice(FILES)
        check_refused_or_correct(mutate(file, rng), original)


def test_corrupt_files_are_refused() -> None:
    check_corrupt_files(range(300))


def check_corrupt_files_of_a_prior(seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        file, original = rng.choice(PRIOR_FILES)
        check_refused_or_correct(mutate(file, rng), original, PRIOR)


def test_corrupt_files_of_a_model_with_a_prior_are_refused() -> None:
    check_corrupt_files_of_a_prior(range(300))


@pytest.mark.slow
def test_thousands_of_corrupt_files_are_refused() -> None:
    check_corrupt_files(range(300, 6_000))
    check_corrupt_files_of_a_prior(range(300, 6_000))


def test_noise_is_refused() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        start = FILES[seed % len(FILES)][0][:6]  # after a valid header
        with pytest.raises(ElmanError):
            decompress(MODEL, start + rng.randbytes(rng.randrange(60)))


FALSE_LENGTHS = pytest.mark.parametrize(
    "digits", [b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x40"]
)


@FALSE_LENGTHS
def test_a_false_length_takes_no_time_and_no_memory(digits: bytes) -> None:
    good = compress(MODEL, INPUTS["long"])
    for mode in (0, 1, 2):
        check_refused_at_once(MODEL, bytes([good[0] & ~3 | mode]) + digits + good[3:])


@FALSE_LENGTHS
def test_with_a_prior_one_block_is_decoded_at_most(digits: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 1 << 12)  # what is counted becomes so likely that it takes no bits
    good = compress(PRIOR, INPUTS["long"])
    for mode in (4, 5):
        check_refused_at_once(PRIOR, bytes([good[0] | 3, mode]) + digits + good[3:])


def check_refused_at_once(model: Model, file: bytes) -> None:
    """Decompress a file, which must raise an error within 5 seconds and 4 MB."""
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(ElmanError):
        decompress(model, file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000
    assert time.process_time() - began < 5
