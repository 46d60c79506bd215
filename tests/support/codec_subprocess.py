"""Run in a separate process, as if on another machine: decompresses files and compresses the same texts.

python codec_subprocess.py HERE THERE    reads HERE/*.safetensors and HERE/*.elm, writes THERE/*.elm and THERE/*.text
python codec_subprocess.py --assembly    prints counts of the instructions that kernels were compiled to
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from elman import compress, decompress, load
from elman.apps.compress import arithmetic, exact_network, matches, mixing, predictor, range_coder
from elman.apps.compress.container import MODES, ModeName
from elman.model import Model
from elman.ngram import kernels
from elman.text import Alphabet
from support.codec_models import ALPHABET, TEXT, make_model
from support.small_blocks import small_blocks

MODULES = (arithmetic, exact_network, matches, mixing, predictor, range_coder, kernels)
"""Those whose kernels must not fuse a product with a sum."""
FUSED = r"\b(v?fn?m(add|sub)\w*|fml[as]\w*|fn?m(add|sub)\w*)\b"


def models() -> Iterator[tuple[str, Model, bytes, ModeName]]:
    """Yield a name, a model, a text and a mode."""
    data = TEXT.encode()
    with_symbol = Alphabet(ALPHABET.characters + "\ufffd", has_unknown=True)
    for cell in exact_network.CELLS:
        for layers in (1, 2):
            yield f"{cell}{layers}", make_model(cell, layers), data, "static"
    for mode in MODES:
        yield f"prior-{mode}", make_model(order=4), data, mode
        yield f"unknown-symbol-{mode}", make_model("lstm", alphabet=with_symbol, order=2), data, mode
        yield f"bytes-{mode}", make_model(), bytes(range(256)), mode
        yield f"large-{mode}", make_model(std=1e38, order=2), data, mode  # saturated, and not finite


def write(folder: Path) -> None:
    for name, model, data, mode in models():
        model.save(folder / f"{name}.safetensors")
        (folder / f"{name}.elm").write_bytes(compress(data, model, mode=mode))


def read(files: Path, here: Path, there: Path) -> None:
    for name, _, _, _ in models():
        model = load(here / f"{name}.safetensors", engine="numpy")
        (there / f"{name}.text").write_bytes(decompress((files / f"{name}.elm").read_bytes(), model))


def compare(here: Path, there: Path) -> None:
    for name, _, data, _ in models():
        assert (there / f"{name}.elm").read_bytes() == (here / f"{name}.elm").read_bytes(), name
        assert (there / f"{name}.text").read_bytes() == data, name
    read(there, here, there)  # files from there, here
    for name, _, data, _ in models():
        assert (there / f"{name}.text").read_bytes() == data, name


def run(here: Path, there: Path) -> None:
    read(here, here, there)
    for name, _, data, mode in models():
        model = load(here / f"{name}.safetensors", engine="numpy")
        (there / f"{name}.elm").write_bytes(compress(data, model, mode=mode))


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
