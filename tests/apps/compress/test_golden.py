"""The golden compressed files are read, and written again with the same bytes.

``python tests/apps/compress/test_golden.py --write`` writes them anew. The format is promised to stay readable: only
a new format version may change the bytes. The model has no random weights: they are fractions of integers, exact in
float32 on every machine.
"""

import sys
from pathlib import Path

import numpy as np

import elman
from elman.apps.compress.container import MODES
from elman.engine import get_engine
from elman.model import Model
from elman.network import Parameters
from elman.network.parameters import Architecture
from elman.ngram.counting import count_ngrams
from elman.text import Alphabet

DATA = Path(__file__).parent / "golden"
ALPHABET = Alphabet("\n abcdefghijklmnopqrstuvwxyz,.")
TRAINING_TEXT = "the cat sat on the mat, and the dog lay by the door.\nnobody saw the mouse behind the clock.\n" * 6
TEXT = (
    "the mouse saw that the cat sat on the mat.\nit ran to the clock, and the dog barked at the door.\n"
    "Nobody heard it: ταῦτα πάντα.\r\nthe mouse saw that the dog lay by the door, and went behind the clock.\n"
) * 3
M, ORDER = 6, 4


def golden_model() -> Model:
    net = Architecture(len(ALPHABET), M, "gru", 2, ORDER)
    arrays = {name: _weights(shape) for name, shape in net.shapes().items()}
    arrays["alpha"] = np.linspace(0.25, 1, ORDER + 1, dtype=np.float32)
    ngrams = count_ngrams(ALPHABET.encode(TRAINING_TEXT), net.ngram_spec)
    return Model(ALPHABET, Parameters(net, arrays, ngrams), net.zero_state(np.float32), get_engine("numpy"))


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers from -1 to 1 whose denominator is a power of two."""
    numbers = (np.arange(np.prod(shape)) * 7919 + 31 * len(shape)) % 1009
    return ((numbers - 504) / 512).astype(np.float32).reshape(shape)


def test_files_of_every_mode_keep_their_bytes() -> None:
    for name in MODES:
        file = (DATA / f"{name}.elm").read_bytes()
        assert elman.compress(TEXT, golden_model(), mode=name) == file, name
        assert elman.decompress(file, golden_model()) == TEXT.encode(), name


if __name__ == "__main__" and "--write" in sys.argv:
    for name in MODES:
        (DATA / f"{name}.elm").write_bytes(elman.compress(TEXT, golden_model(), mode=name))
