"""Character error rates of decoding the output of a trained text recognizer, PP-OCR, with KenLM and with networks.

pip install onnxruntime pillow matplotlib && pip install --no-deps rapidocr==3.10.0 rapidocr-onnxruntime==1.4.4
python benchmarks/ocr.py LINES SYSTEM… --recognizer MODEL.onnx [--out ocr.json] [--baseline kenlm=FILE]

LINES, SYSTEM and the options are those of `decoding.py`. MODEL.onnx is a recognizer with CTC output which names its
symbols: `rapidocr/models/PP-OCRv6_rec_small.onnx` in site-packages, or
`rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx`. The system `greedy` is the best path over all symbols of the
recognizer, without the search.

Each line is drawn in one of three fonts, turned by up to 0.7 degrees, has blots of ink and of white, one in 10
characters, and is scaled to 13 to 22 rows, blurred, paled, and made noisy; the amounts are random. The other systems
are given the probabilities of the characters of LINES and of the blank: those of other symbols are dropped, and the
rest divided by its sum. They are kept beside --out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

import decoding
from elman.apps.decode import edit_distance

RESULTS = Path(__file__).parent / "results" / "ocr.json"
FONTS = ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
HEIGHT = 48
"""Rows of an image that the recognizer reads."""


def draw(line: str, rng: np.random.Generator) -> np.ndarray:
    """Return a degraded picture of a line, grey levels of 0 to 1."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{rng.choice(FONTS)}.ttf", 32)
    image = Image.new("L", (int(font.getlength(line)) + 48, 56), 255)
    ImageDraw.Draw(image).text((24, 28), line, 0, font, anchor="lm")
    image = image.rotate(rng.uniform(-0.7, 0.7), Image.Resampling.BICUBIC, fillcolor=255)
    ink = ImageDraw.Draw(image)
    for _ in range(rng.poisson(len(line) / 10)):
        x, y, size = rng.uniform(24, image.width - 24), rng.uniform(14, 42), rng.uniform(3, 14)
        ink.ellipse((x, y - size / 2, x + size, y + size / 2), fill=255 * int(rng.integers(2)))
    rows = int(rng.integers(13, 23))
    image = image.resize((image.width * rows // image.height, rows), Image.Resampling.BOX)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    grey = 0.5 + rng.uniform(0.5, 0.9) * (np.asarray(image) / 255 - 0.5)
    return np.clip(grey + rng.normal(0, rng.uniform(0.02, 0.08), grey.shape), 0, 1)


class Recognizer:
    """A model of PP-OCR: `read` returns the probabilities (T, K) of `names`, of which the first is the blank."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)
        self.names = ["", *self.session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]

    def read(self, grey: np.ndarray) -> np.ndarray:
        from PIL import Image

        image = Image.fromarray((grey * 255).round().astype(np.uint8))
        image = image.resize((image.width * HEIGHT // image.height, HEIGHT), Image.Resampling.BILINEAR)
        pixels = np.broadcast_to(np.asarray(image, np.float32) / 127.5 - 1, (1, 3, *reversed(image.size)))
        p: np.ndarray = self.session.run(None, {"x": pixels})[0][0]
        return p

    def decode_greedily(self, p: np.ndarray) -> str:
        path = p.argmax(axis=1)
        return "".join(self.names[k] for k, before in zip(path, [0, *path], strict=False) if k != before)


def recognize(path: str, lines: list[str], symbols: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield of each line what is read greedily, and the log-probabilities (T, K + 1) of the symbols and the blank."""
    recognizer, rng = Recognizer(path), np.random.default_rng(2)
    columns = [recognizer.names.index(each) for each in [*symbols, ""]]
    for line in lines:
        p = recognizer.read(draw(line, rng))
        kept = p[:, columns].astype(np.float64)
        yield recognizer.decode_greedily(p), np.log(kept / kept.sum(axis=1, keepdims=True) + 1e-12)


def main() -> None:
    """Recognize the lines unless that is done, compare the systems, and add a summary to the results."""
    parser = decoding.make_parser(__doc__)
    parser.add_argument("--recognizer", required=True)
    arguments = parser.parse_intermixed_args()
    symbols, lines = decoding.read_lines(arguments.lines, arguments.dev + arguments.test)
    recognized = arguments.out.with_suffix(".npz")
    if not recognized.exists():
        texts, frames = zip(*recognize(arguments.recognizer, lines, symbols), strict=True)
        lengths = [len(each) for each in frames]
        np.savez(recognized, texts=np.array(texts), frames=np.concatenate(frames), lengths=np.array(lengths))
        tested = list(zip(lines, texts, strict=True))[arguments.dev :]
        errors = [edit_distance(line, text) for line, text in tested]
        greedy = {"alpha": [0.0], "beta": [0.0], "milliseconds": 0.0, "errors": errors}
        arguments.out.write_text(json.dumps({"systems": {"greedy": greedy}}))
    with np.load(recognized) as arrays:
        frames = np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1])
    found = decoding.compare(arguments, symbols, list(zip(lines, frames, strict=True)))
    name = f"{Path(arguments.lines).stem}, {Path(arguments.recognizer).stem}"
    decoding.store(RESULTS, name, found, arguments, onnxruntime=version("onnxruntime"))


if __name__ == "__main__":
    main()
