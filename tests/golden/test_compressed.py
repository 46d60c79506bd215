"""The golden compressed files, which `write_compressed.py` made, are read, and written again with the same bytes."""

from elman import compress, decompress
from elman.apps.compress.container import MODES
from golden.write_compressed import DATA, TEXT, golden_model


def test_files_of_every_mode_keep_their_bytes() -> None:
    for name in MODES:
        file = (DATA / f"{name}.elm").read_bytes()
        assert compress(TEXT, golden_model(), mode=name) == file, name
        assert decompress(file, golden_model()) == TEXT.encode(), name
