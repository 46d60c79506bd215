"""Run in a separate process, as if on another machine: decompresses files and compresses the same texts.

python codec_subprocess.py HERE THERE    reads HERE/*.safetensors and HERE/*.elm, writes THERE/*.elm and THERE/*.text
python codec_subprocess.py --assembly    prints counts of the instructions that kernels were compiled to
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from elman import load
from elman.compression import (
    compress,
    decompress,
    exact_coder,
    exact_gradients,
    exact_kernels,
    exact_prior,
    exact_steps,
    shared_forward,
)
from elman.compression.experts import match, mixing, words
from elman.config import CodecAdapt
from elman.engine.numba.ngrams import counting, distributions, kernels
from elman.inference import Model
from elman.text import Alphabet
from support.cells import EXACT_CELLS
from support.codec_models import ADAPTATIONS, ALPHABET, TEXT, make_model
from support.small_blocks import small_blocks

CASES = [(cell, layers, adapt) for cell in EXACT_CELLS for layers in (1, 2) for adapt in (False, True)]
MODULES = (
    exact_coder, exact_gradients, exact_kernels, exact_prior, exact_steps, shared_forward, match, mixing, words,
    counting, distributions, kernels,
)  # fmt: skip
"""Those whose kernels must not fuse a product with a sum."""
FUSED = r"\b(v?fn?m(add|sub)\w*|fml[as]\w*|fn?m(add|sub)\w*)\b"


def models() -> Iterator[tuple[str, Model, bytes, bool | CodecAdapt]]:
    """Yield a name, a model, a text, and whether to adapt."""
    data = TEXT.encode()
    for cell, layers, adapt in CASES:
        yield f"{cell}{layers}{'-adapt' if adapt else ''}", make_model(cell, layers), data, adapt
    with_symbol = Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True)
    yield "unknown-symbol", make_model(alphabet=with_symbol), data, True
    yield "weight-decay", make_model(), data * 4, True
    yield "large", make_model(std=300.0), data, True  # saturated everywhere, and soon not finite
    yield "bytes", make_model(), bytes(range(256)), False
    for way in ADAPTATIONS:
        yield f"prior-{way}", make_model(order=4), data, way
        yield f"prior-{way}-unknown-symbol", make_model("lstm", alphabet=with_symbol, order=2), data, way
    for way in ("both", "mixture", "bitwise", "all"):
        yield f"prior-large-{way}", make_model(std=1e38, order=2), data, way


def write(folder: Path) -> None:
    """Compress every text; save the models, whose random weights another machine's logarithm would round otherwise."""
    for name, model, data, adapt in models():
        model.save(folder / f"{name}.safetensors")
        (folder / f"{name}.elm").write_bytes(compress(model, data, adapt=adapt))


def read(files: Path, here: Path, there: Path) -> None:
    """Decompress `files` with the models of `here` to texts in `there`."""
    for name, _, _, _ in models():
        model = load(here / f"{name}.safetensors", engine="numpy")
        (there / f"{name}.text").write_bytes(decompress(model, (files / f"{name}.elm").read_bytes()))


def run(here: Path, there: Path) -> None:
    """Decompress the files of another process, and compress the same texts with the same models."""
    read(here, here, there)
    for name, _, data, adapt in models():
        model = load(here / f"{name}.safetensors", engine="numpy")
        (there / f"{name}.elm").write_bytes(compress(model, data, adapt=adapt))


def assembly() -> dict[str, int]:
    """Return the numbers of fused multiply-add and of vector multiply instructions."""
    with small_blocks():
        write(Path(sys.argv[2]))
    functions = [getattr(module, name) for module in MODULES for name in dir(module)]
    texts = [text for kernel in functions if hasattr(kernel, "inspect_asm") for text in kernel.inspect_asm().values()]
    assert texts
    return {
        "fused": sum(len(re.findall(FUSED, text)) for text in texts),
        "packed": sum(len(re.findall(r"\bv?mulps\b|\bfmul\s+v", text)) for text in texts),
    }


if __name__ == "__main__":
    if sys.argv[1] == "--assembly":
        print(json.dumps(assembly()))
    else:
        with small_blocks():
            run(Path(sys.argv[1]), Path(sys.argv[2]))
