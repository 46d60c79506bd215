"""Run as a process of its own, as if on another machine: reads what was compressed here, and compresses the same.

python codec_subprocess.py HERE THERE    reads HERE/*.elm, writes THERE/*.elm and THERE/*.text
python codec_subprocess.py --assembly    prints which instructions the kernels were compiled to
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from elman.compression import blocks, compress, decompress, exact_gradients, exact_kernels
from elman.inference import Model
from elman.text import Alphabet
from support.codec_models import ALPHABET, TEXT, made

CASES = [(cell, layers, adapt) for cell in ("rnn", "gru", "lstm") for layers in (1, 2) for adapt in (False, True)]
FUSED = r"\b(v?fn?m(add|sub)\w*|fml[as]\w*|fn?m(add|sub)\w*)\b"


def models() -> Iterator[tuple[str, Model, bytes, bool]]:
    """Yield a name, a model, a text and whether to learn."""
    data = TEXT.encode()
    for cell, layers, adapt in CASES:
        yield f"{cell}{layers}{'-adapt' if adapt else ''}", made(cell, layers), data, adapt
    folding = Alphabet(ALPHABET.characters + "\ufffd", folds=True)
    yield "folds", made(alphabet=folding), data, True
    yield "fades", made(), data * 4, True
    yield "large", made(std=300.0), data, True  # saturated everywhere, and soon not finite
    yield "bytes", made(), bytes(range(256)), False


def write(folder: Path) -> None:
    """Compress every text."""
    blocks.PART, blocks.STREAM = 128, 40  # so that short texts have many
    for name, model, data, adapt in models():
        (folder / f"{name}.elm").write_bytes(compress(model, data, adapt=adapt))


def read(here: Path, there: Path) -> None:
    """Decompress what was written elsewhere."""
    for name, model, _, _ in models():
        (there / f"{name}.text").write_bytes(decompress(model, (here / f"{name}.elm").read_bytes()))


def assembly() -> dict[str, int]:
    """Return how many instructions there are that fuse a product and a sum, and that work on several numbers."""
    write(Path(sys.argv[2]))
    found = [getattr(module, name) for module in (exact_kernels, exact_gradients) for name in dir(module)]
    texts = [text for kernel in found if hasattr(kernel, "inspect_asm") for text in kernel.inspect_asm().values()]
    assert texts
    return {
        "fused": sum(len(re.findall(FUSED, text)) for text in texts),
        "packed": sum(len(re.findall(r"\bv?mulps\b|\bfmul\s+v", text)) for text in texts),
    }


if __name__ == "__main__":
    if sys.argv[1] == "--assembly":
        print(json.dumps(assembly()))
    else:
        write(Path(sys.argv[2]))
        read(Path(sys.argv[1]), Path(sys.argv[2]))
