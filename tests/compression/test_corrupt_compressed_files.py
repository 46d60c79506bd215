"""Files that no encoder wrote are refused in one line, quickly and without much memory."""

import random
import time
import tracemalloc

import pytest

from elman.compression import blocks, compress, decompress
from elman.compression.container import read_header
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference import Model
from support.codec_models import ADAPTATIONS, INPUTS, make_model

Files = list[tuple[bytes, bytes]]
NAMES = ("one byte", "text", "noise", "long", "another script")


@pytest.fixture(scope="module")
def network() -> Model:
    """A model without a prior."""
    return make_model()


@pytest.fixture(scope="module")
def prior() -> Model:
    """A model with a prior."""
    return make_model(order=4)


@pytest.fixture(scope="module")
def files(network: Model) -> Files:
    """Compressed files of the model without a prior, each with its text."""
    return [(compress(network, INPUTS[name], adapt=adapt), INPUTS[name]) for name in NAMES for adapt in (False, True)]


@pytest.fixture(scope="module")
def prior_files(prior: Model) -> Files:
    """Those of the model with a prior."""
    return [(compress(prior, INPUTS[name], adapt=adapt), INPUTS[name]) for name in NAMES for adapt in ADAPTATIONS]


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


def check_corrupt_files(model: Model, files: Files, seeds: range) -> None:
    """Decompress corrupt files, each of which must raise a one-line error or give the original."""
    for seed in seeds:
        rng = random.Random(seed)
        file, original = rng.choice(files)
        try:
            result = decompress(model, mutate(file, rng))
        except ElmanError as error:
            assert "\n" not in str(error)  # noqa: PT017 (any of several)
        else:
            assert result == original


def test_corrupt_files_are_refused(network: Model, files: Files) -> None:
    check_corrupt_files(network, files, range(300))


def test_corrupt_files_of_a_model_with_a_prior_are_refused(prior: Model, prior_files: Files) -> None:
    check_corrupt_files(prior, prior_files, range(300))


@pytest.mark.slow
def test_thousands_of_corrupt_files_are_refused(network: Model, files: Files, prior: Model, prior_files: Files) -> None:
    check_corrupt_files(network, files, range(300, 6_000))
    check_corrupt_files(prior, prior_files, range(300, 6_000))


def test_noise_is_refused(network: Model, files: Files) -> None:
    for seed in range(200):
        rng = random.Random(seed)
        file, _ = files[seed % len(files)]
        header = file[: read_header(file)[1]]
        with pytest.raises(ElmanError):
            decompress(network, header + rng.randbytes(rng.randrange(60)))


FALSE_LENGTHS = pytest.mark.parametrize(
    "digits", [b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x40"]
)


@FALSE_LENGTHS
def test_a_false_length_takes_no_time_and_no_memory(network: Model, digits: bytes) -> None:
    good = compress(network, INPUTS["long"])
    for mode in (0, 1, 2):
        check_refused_at_once(network, bytes([good[0] & ~3 | mode]) + digits + good[3:])


@FALSE_LENGTHS
def test_with_a_prior_one_block_is_decoded_at_most(
    prior: Model, digits: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 1 << 12)  # what is counted becomes so likely that it takes no bits
    good = compress(prior, INPUTS["long"])
    for start in (b"\xe7\x04", b"\xe7\x05", b"\xed", b"\xee"):
        check_refused_at_once(prior, start + digits + good[3:])


@FALSE_LENGTHS
@pytest.mark.parametrize(("adapt", "megabytes"), [("mixture", 8), ("bitwise", 64), ("all", 64)])
def test_of_a_mixture_one_block_is_decoded_at_most(
    prior: Model, digits: bytes, adapt: CodecAdapt, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 1 << 12)
    good = compress(prior, INPUTS["long"], adapt=adapt)
    # Some tables are as large as a text allows; four match models have one each.
    check_refused_at_once(prior, good[:1] + digits + good[3:], megabytes)


def check_refused_at_once(model: Model, file: bytes, megabytes: int = 4) -> None:
    """Decompress a file, which must raise an error within 5 seconds and so much memory."""
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(ElmanError):
        decompress(model, file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < megabytes * 1_000_000
    assert time.process_time() - began < 5
