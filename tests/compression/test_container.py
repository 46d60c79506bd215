"""Headers of compressed files: the first byte, modes and widths."""

import pytest

from elman.compression import decompress
from elman.compression.codec import MODES, compress_in_mode
from elman.compression.container import Mode, make_header, read_header, serialize
from elman.errors import ElmanError
from support.codec_models import INPUTS, make_model

FIRST_BYTES = {
    Mode.STATIC: b"\xe4",
    Mode.ADAPTIVE: b"\xe5",
    Mode.STORED: b"\xe6",
    Mode.ADAPTIVE_COUNTS: b"\xe7\x04",
    Mode.ADAPTIVE_BOTH: b"\xe7\x05",
    Mode.BITWISE_FEW: b"\xe7\x06",
    Mode.BITWISE_PARAGRAPHS: b"\xe7\x07",
    Mode.BITWISE_BACKGROUND: b"\xe7\x10",
    Mode.MIXTURE: b"\xe8",
    Mode.MIXTURE_ALL: b"\xe9",
    Mode.BITWISE: b"\xea",
    Mode.BITWISE_ALL: b"\xeb",
    Mode.WEIGHTS: b"\xed",
    Mode.BOTH: b"\xee",
    Mode.ALL: b"\xef",
}


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("N", [0, 255, 256, 1 << 40])
def test_a_header_is_read_as_it_was_written(mode: Mode, N: int) -> None:
    header = make_header(mode, N, bytes(range(32)), b"text")
    file = serialize(header, [b"payload"])
    assert file.startswith(FIRST_BYTES[mode])
    assert read_header(file) == (header, len(file) - len(b"payload"))
    expected = (4, 4) if N > 255 else (2 if mode.version == 1 else 1, 2)
    assert (len(header.fingerprint), len(header.checksum)) == expected


def test_modes_are_versions_and_what_they_adapt() -> None:
    assert [mode.version for mode in Mode] == [1] * 8 + [2] * 4 + [3] * 3
    assert [mode for mode in Mode if mode.has_relative_rate] == [Mode.WEIGHTS, Mode.BOTH, Mode.ALL]
    pairs = {Mode.WEIGHTS: Mode.ADAPTIVE, Mode.BOTH: Mode.ADAPTIVE_BOTH, Mode.ALL: Mode.BITWISE_ALL}
    for mode, former in pairs.items():
        for name in ("adapts_weights", "adapts_counts", "is_mixture", "is_bitwise", "is_adaptive"):
            assert getattr(mode, name) == getattr(former, name), (mode, name)


def test_what_is_written_has_no_former_mode() -> None:
    former = {mode for mode in Mode if mode.adapts_weights and not mode.has_relative_rate}
    former |= {Mode.BITWISE_FEW, Mode.BITWISE_PARAGRAPHS}
    for_short_data = {Mode.BITWISE}
    assert {*MODES.values()} == {*Mode} - former - for_short_data - {Mode.STORED}


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode != Mode.STORED])
def test_every_mode_is_read(mode: Mode) -> None:
    model = make_model(order=3)
    file = compress_in_mode(model, INPUTS["long"], mode)
    assert file.startswith(FIRST_BYTES[mode])
    assert decompress(model, file) == INPUTS["long"]


@pytest.mark.parametrize("mode", [8, 12, 13, 17, 255])
def test_a_mode_of_a_newer_format_is_reported(mode: int) -> None:
    message = (
        rf"format 1\.{mode} of a newer Elman; this version reads 1\.0 to 1\.7, 1\.16 and all of 2 and 3: upgrade Elman$"
    )
    with pytest.raises(ElmanError, match=message):
        decompress(make_model(), bytes([0b1110_0111, mode]) + bytes(9))


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_a_mode_is_written_in_one_way(mode: int) -> None:
    with pytest.raises(ElmanError, match="corrupted: a mode of two bits has a byte of its own"):
        decompress(make_model(), bytes([0b1110_0111, mode]) + bytes(9))


def test_a_member_has_no_members() -> None:
    with pytest.raises(ElmanError, match="corrupted: a member has members of its own"):
        read_header(b"\xec" + bytes(9))
