"""Compressed files keep their bytes, and are read: the format of version 1 does not change."""

from elman import compress, decompress
from elman.compression.modes import MODES
from support.golden_codec import FOLDER, TEXT, golden_model


def test_files_of_every_mode_keep_their_bytes() -> None:
    for name in MODES:
        file = (FOLDER / f"{name}.elm").read_bytes()
        assert compress(TEXT, golden_model(), mode=name) == file, name
        assert decompress(file, golden_model()) == TEXT.encode(), name
