"""Compression is lossless, costs the model's cross-entropy, and reports every mismatch."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman import compress, decompress
from elman.apps.compress import codec, container, exact_network
from elman.apps.compress.codec import compress_pieces, decompress_members
from elman.apps.compress.container import MODES, ModeName, split_members
from elman.apps.compress.tokens import from_tokens, to_tokens
from elman.errors import ElmanError
from elman.model import Model
from elman.model.loading import fingerprint
from elman.model.score import score
from elman.network.cells import CELLS as NETWORK_CELLS
from elman.text import Alphabet, Masker
from support import leaky_cell
from support.codec_models import ALPHABET, INPUTS, TEXT, K, make_model
from support.random_model import random_model
from support.small_blocks import small_blocks
from support.tolerances import CODED_BITS, CODED_FRACTION

CELLS = pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 2), ("lstm", 1), ("lstm", 3)])
EVERY_MODE = pytest.mark.parametrize("mode", MODES)
ORDERS = pytest.mark.parametrize("order", [0, 4])
WITH_UNKNOWN = Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True)


@EVERY_MODE
@ORDERS
@pytest.mark.parametrize("alphabet", [ALPHABET, WITH_UNKNOWN, Alphabet("ab")])
def test_any_bytes_are_restored(alphabet: Alphabet, order: int, mode: ModeName) -> None:
    model = make_model(alphabet=alphabet, order=order)
    for name, data in {**INPUTS, "unknown symbol": "\ufffd a \ufffd".encode()}.items():
        assert decompress(compress(data, model, mode=mode), model) == data, name
    assert compress("a café", model, mode=mode) == compress("a café".encode(), model, mode=mode)


@EVERY_MODE
@CELLS
def test_every_cell_compresses(cell: str, layers: int, mode: ModeName) -> None:
    for dtype, order in ((np.float32, 0), (np.float64, 2)):
        model = make_model(cell, layers, dtype=dtype, order=order)
        assert decompress(compress(INPUTS["long"], model, mode=mode), model) == INPUTS["long"]


@settings(deadline=None)
@given(st.binary(max_size=100) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_random_bytes_are_restored(data: bytes) -> None:
    model = make_model()
    assert decompress(compress(data, model, mode="static"), model) == data


@EVERY_MODE
@pytest.mark.parametrize("n", [0, 1, 26, 27, 63, 64, 65, 129, 191, 200])
@small_blocks(64, 9)
def test_blocks_and_substreams_are_restored(n: int, mode: ModeName) -> None:
    data, model = INPUTS["long"].decode()[:n].encode(), make_model(order=3)
    assert decompress(compress(data, model, mode=mode), model) == data


KNOWN = "".join(character for character in TEXT * 8 if character in ALPHABET.characters)


@ORDERS
@CELLS
def test_a_static_file_has_the_size_of_the_cross_entropy(cell: str, layers: int, order: int) -> None:
    model = make_model(cell, layers, order=order)
    indices = model.alphabet.encode("\n" + KNOWN)
    bits = score(model.engine, model.parameters, model.state.reset(), indices).nats / math.log(2)
    assert 8 * len(compress(KNOWN, model, mode="static")) <= bits * (1 + CODED_FRACTION) + CODED_BITS


@EVERY_MODE
@ORDERS
def test_a_model_of_lines_is_reset_at_line_feeds(order: int, mode: ModeName) -> None:
    model, text = make_model(order=order, lines=True), KNOWN.replace(" ", "\n")
    for data in (text.encode(), *INPUTS.values()):
        assert decompress(compress(data, model, mode=mode), model) == data
    indices = model.alphabet.encode("\n" + text)
    bits = score(model.engine, model.parameters, model.state.reset(), indices).nats / math.log(2)
    assert 8 * len(compress(text, model, mode=mode)) <= bits * (1 + CODED_FRACTION) + CODED_BITS


def test_a_model_with_masks_is_refused() -> None:
    with pytest.raises(ElmanError, match=r"in place of times and numbers: train with mask=''$"):
        compress("a 1", replace(random_model("a \nⓃ"), masker=Masker("numbers")))


@ORDERS
def test_mixture_is_smaller_than_static(order: int) -> None:
    model = make_model(order=order)
    static, mixture = (len(compress(KNOWN, model, mode=mode)) for mode in MODES)
    assert mixture < 0.8 * static


def test_unknown_bytes_cost_little_more_than_themselves() -> None:
    model = make_model()
    lines = (len(compress(line * 1000, model, mode="static")) for line in (b"a line\r\n", b"a line\n"))
    assert next(lines) - next(lines) < 1000
    assert len(compress(INPUTS["noise"], model)) <= len(INPUTS["noise"]) + 12


@EVERY_MODE
def test_neither_random_bytes_nor_a_small_file_become_much_longer(mode: ModeName) -> None:
    for size in (0, 1, 255, 256, 5000):
        data = np.random.default_rng(size).bytes(size)
        assert len(compress(data, make_model(order=2), mode=mode)) <= size * 1.001 + 20
    assert len(compress(b"", make_model(), mode=mode)) == 5
    assert len(compress(b"\n", make_model(), mode=mode)) <= 7


def test_a_cell_that_is_not_exact_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORK_CELLS.core, "leaky", leaky_cell.SPEC)
    with pytest.raises(ElmanError, match=r"^files cannot be compressed with cell 'leaky'$"):
        compress("abc", random_model("abc", "leaky"))


@EVERY_MODE
@pytest.mark.parametrize("cell", exact_network.CELLS)
@small_blocks()
def test_files_are_the_same_on_any_number_of_cores(mode: ModeName, cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = make_model(cell, order=2), INPUTS["long"]
    before, file = fingerprint(model), compress(data, model, mode=mode)
    for cores in (1, 3):
        monkeypatch.setattr(codec, "thread_count", lambda cores=cores: cores)
        assert compress(data, model, mode=mode) == file
        assert decompress(file, model) == data
    assert fingerprint(model) == before


@EVERY_MODE
def test_threads_can_share_a_model(mode: ModeName) -> None:
    model, data = make_model(order=4), INPUTS["long"]
    expected = compress(data, model, mode=mode)
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(lambda _: compress(data, model, mode=mode), range(12))} == {expected}
        assert {*pool.map(lambda _: decompress(expected, model), range(12))} == {data}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model; members have at most 100 bytes."""
    monkeypatch.setattr(container, "MEMBER_SIZE", 100)
    return make_model(order=2)


@EVERY_MODE
def test_long_data_has_several_members(model: Model, mode: ModeName) -> None:
    for size in (0, 99, 100, 101, 200, 457):
        data = INPUTS["long"][:size]
        file = compress(data, model, mode=mode)
        assert decompress(file, model) == data
        assert len(list(split_members(BytesIO(file)))) == max(1, -(-size // 100))


def test_few_pieces_are_read_ahead(model: Model) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for start in range(0, 1000, 100):
            read += 1
            yield INPUTS["long"][start : start + 100]

    for number, _ in enumerate(compress_pieces(pieces(), model, "static")):
        assert read <= max(2, number)


@EVERY_MODE
def test_progress_is_in_bytes_of_the_whole_file(model: Model, mode: ModeName) -> None:
    data, compressed, decompressed = INPUTS["long"][:250], list[float](), list[float]()
    file = b"".join(compress_pieces((data[:100], data[100:200], data[200:]), model, mode, compressed.append))
    assert b"".join(decompress_members(split_members(BytesIO(file)), model, decompressed.append)) == data
    overhead = 1 + 4 * 4  # the first byte, and the lengths of three members and of the end
    for reported, total in ((compressed, len(data)), (decompressed, len(file) - overhead)):
        assert reported == sorted(reported)
        assert len(reported) >= 3
        assert reported[-1] == total


@pytest.mark.parametrize("size", [10, 300])
def test_another_model_is_refused(size: int) -> None:
    file = compress(INPUTS["long"][:size], make_model())
    with pytest.raises(ElmanError, match=r"by another model \(fingerprint .*\): use the run that compressed it"):
        decompress(file, make_model(seed=1))


def test_the_size_of_the_original_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = make_model(), INPUTS["long"]
    file = compress(data, model)
    assert decompress(file, model, max_output=len(data)) == data
    members = container.join_members(iter([compress(data, model), compress(data, model)]))
    restored = decompress_members(split_members(BytesIO(b"".join(members))), model, max_output=len(data))
    assert next(restored) == data
    monkeypatch.setattr(codec, "decompress_member", lambda *_: 1 / 0)  # nothing is decompressed
    with pytest.raises(ElmanError, match=r"^the original has at least [\d,]+ bytes, more than max_output=[\d,]+: "):
        next(restored)
    with pytest.raises(ElmanError, match=r"more than max_output=100: pass a larger max_output if you trust the file$"):
        decompress(file, model, max_output=100)
    with pytest.raises(ElmanError, match=r"^max_output must be at least 0 \(got -1\)$"):
        decompress(file, model, max_output=-1)


def test_an_altered_text_is_refused() -> None:
    model = make_model()
    stored = bytearray(compress(INPUTS["noise"], model))
    stored[-1] ^= 1
    with pytest.raises(ElmanError, match="corrupted: the checksum of the decompressed data does not match"):
        decompress(bytes(stored), model)


def test_characters_that_the_alphabet_lacks_stay_bytes() -> None:
    coded = to_tokens("aﬀé".encode() + b"\xff", ALPHABET)
    expected = [K + byte for byte in "ﬀ".encode()]
    assert coded.tolist() == [1, *expected, ALPHABET.characters.index("é"), K + 0xFF]
    assert from_tokens(coded, ALPHABET) == "aﬀé".encode() + b"\xff"


def test_invalid_bytes_are_no_lone_surrogates_of_an_alphabet() -> None:
    data = b"a\xff\xed\xa0\x80"
    assert to_tokens(data, Alphabet("a\udcff\ud800")).tolist() == [0, *(3 + byte for byte in data[1:])]
