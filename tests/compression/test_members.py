"""Files of several members."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

import elman
from elman.compression import codec, compress, decompress, members
from elman.compression.members import compress_pieces, decompress_members, split_members
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference import Model
from support.cli import exit_code
from support.state import TEXT

DATA = (TEXT * 3 + "é").encode() + bytes(range(256))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a tiny network with a prior."""
    out = tmp_path_factory.mktemp("run")
    elman.train(
        elman.Corpus.from_text(TEXT * 3), out=out, preset="reference", hidden_size=4, ngram_order=2, seq_length=5,
        max_updates=10, sample_every=0, engine="numpy",
    )  # fmt: skip
    return out


@pytest.fixture
def model(run: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The model, and members of 100 bytes."""
    monkeypatch.setattr(members, "MEMBER_SIZE", 100)
    return elman.load(run)


@pytest.mark.parametrize("adapt", [False, "both", "all"])
@pytest.mark.parametrize("size", [99, 100, 101, 200, len(DATA)])
def test_there_and_back(model: Model, size: int, adapt: bool | CodecAdapt) -> None:
    data = DATA[-size:]
    file = compress(model, data, adapt=adapt)
    assert decompress(model, file) == data
    assert len(list(split_members(BytesIO(file)))) == -(-size // 100)


def test_data_of_one_member_is_a_file_of_the_earlier_versions(model: Model) -> None:
    assert compress(model, DATA[:100]) == codec.compress(model, DATA[:100])
    assert compress(model, b"") == codec.compress(model, b"")


def test_a_member_is_compressed_before_the_next_but_one_is_read(model: Model) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for start in range(0, 1000, 100):
            read += 1
            yield DATA[start : start + 100]

    file = compress_pieces(model, pieces(), False)
    next(file)
    for number, _ in enumerate(file, 1):
        assert read <= max(2, number)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file[:-1], "it ends too early"),
        (lambda file: file[:-4], "it ends too early"),
        (lambda file: file[:30], "it ends too early"),
        (lambda file: file[:1], "it ends too early"),
        (lambda file: file + b"x", "data follows its end"),
        (lambda file: file[:1] + bytes(4), "it has no member"),
        (lambda file: file[:1] + b"\xff\xff\xff\x7f" + file[5:], "a member is longer than any that Elman writes"),
    ],
)
def test_a_corrupted_file_is_an_error(model: Model, change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(ElmanError, match=f"^the compressed file is truncated or corrupted: {message}$"):
        decompress(model, change(compress(model, DATA)))


def test_the_commands_read_and_write_members(model: Model, run: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(DATA)
    assert exit_code("compress", tmp_path / "text", "-m", run) == 0
    file = tmp_path / "text.elm"
    assert file.read_bytes() == compress(model, DATA)
    assert exit_code("decompress", file, "-m", run, "-o", tmp_path / "back") == 0
    assert (tmp_path / "back").read_bytes() == DATA
    file.write_bytes(file.read_bytes()[:-1])
    assert exit_code("decompress", file, "-m", run, "-o", tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("adapt", [False, "all"])
def test_progress_is_in_bytes_of_the_whole_file(model: Model, adapt: bool | CodecAdapt) -> None:
    data, compressed, decompressed = DATA[:250], list[float](), list[float]()
    file = b"".join(compress_pieces(model, (data[:100], data[100:200], data[200:]), adapt, compressed.append))
    assert b"".join(decompress_members(model, split_members(BytesIO(file)), decompressed.append)) == data
    overhead = 1 + 4 * 4  # the first byte, and the lengths of three members and of the end
    for reported, total in ((compressed, len(data)), (decompressed, len(file) - overhead)):
        assert reported == sorted(reported)
        assert reported[-1] == total
        assert len(reported) >= (8 if adapt else 3)  # of a network that is trained, for each window
