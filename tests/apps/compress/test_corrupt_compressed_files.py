"""Files that no encoder wrote are refused in one line, quickly and without much memory."""

import random
import time
import tracemalloc
from io import BytesIO

import pytest

from elman import compress, decompress
from elman.apps.compress import tokens
from elman.apps.compress.codec import decompress_members
from elman.apps.compress.container import MODES, ModeName, read_header, split_members
from elman.errors import ElmanError
from elman.model import Model
from support.codec_models import INPUTS, make_model
from support.corrupt_files import corrupt_bytes

Files = list[tuple[bytes, bytes]]
NAMES = ("one byte", "text", "noise", "long", "another script")


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(order=4)


@pytest.fixture(scope="module")
def files(model: Model) -> Files:
    return [(compress(INPUTS[name], model, mode=mode), INPUTS[name]) for name in NAMES for mode in MODES]


@pytest.mark.parametrize(
    "seeds", [range(400), pytest.param(range(400, 8_000), marks=pytest.mark.slow)], ids=["hundreds", "thousands"]
)
def test_a_corrupt_file_raises_a_one_line_error_or_gives_the_original(model: Model, files: Files, seeds: range) -> None:
    for seed in seeds:
        rng = random.Random(seed)
        file, original = rng.choice(files)
        noise = file[: read_header(file)[1]] + rng.randbytes(rng.randrange(60))
        corrupt = rng.choice([corrupt_bytes(file, rng), file[: rng.randrange(len(file))], noise])
        try:
            result = decompress(corrupt, model)
        except ElmanError as error:
            assert "\n" not in str(error)  # noqa: PT017 (any of several)
        else:
            assert result == original


@pytest.mark.parametrize("first", [b"\0", b"\xaf"])
def test_no_more_is_read_than_a_member_can_have(model: Model, first: bytes) -> None:
    class Endless(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size >= 0
            return first * size

    with pytest.raises(ElmanError, match=r"its first byte does not match|is longer than any"):
        list(decompress_members(split_members(Endless()), model))


@pytest.mark.parametrize("digits", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x07", b"\x80\x80\x40"])
@pytest.mark.parametrize(("mode", "megabytes"), [("stored", 4), ("static", 4), ("mixture", 16)])
def test_a_false_length_takes_little_time_and_memory(
    model: Model, digits: bytes, mode: ModeName, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one block is decoded, whose characters become so likely that they take no bits; some tables are large."""
    monkeypatch.setattr(tokens, "BLOCK_SIZE", 1 << 12)
    good = compress(INPUTS["long"], model, mode=mode if mode in MODES else "static")
    file = (good[:1] if mode in MODES else b"\xa8") + digits + good[3:]
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(ElmanError):
        decompress(file, model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < megabytes * 1_000_000
    assert time.process_time() - began < 5
