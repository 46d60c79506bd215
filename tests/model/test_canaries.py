"""Canaries: what occurs in one line of a text only cannot be read out of a model of the text.

A log contains lines of an unknown beginning and a random number. Whoever knows all of such a line but the number, and
the format of the table, chains the strings that it contains, of all lengths, by a beam search. The probability of a
character is estimated by stupid backoff (Brants et al. 2007).

The text of a run also ends in a number, and so does each of its batch rows: only the checkpoint contains what was read
last.
"""

from __future__ import annotations

import base64
import gzip
import math
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from elman.formats import FORMATS, export
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramCounts, ngram_counts
from elman.ngram.table import NgramSpec
from elman.storage.tensors import read_tensors
from elman.text import Alphabet, Corpus
from support.training import train

DIGITS, ORDER = 16, 9
BEAM, BACKOFF = 5, 0.4
ACTIONS = "opened the page", "closed the page", "wrote the file", "read the file", "waited for the lock"
PINS = "7316048529", "5928170364", "9063741852", "8401937265"
"""Numbers at the ends of batch rows, the last one at the end of the text."""
ROW = 300
SIZES = pytest.mark.parametrize(
    ("characters", "canaries"), [(150_000, 30), pytest.param(5_000_000, 1_000, marks=pytest.mark.slow)]
)


def make_log(characters: int, canaries: int) -> tuple[str, dict[str, str]]:
    """Return a log, and the numbers in it by the beginnings of their lines."""
    generator = np.random.default_rng(1)
    secrets = {}
    for i in range(canaries):
        name, number = generator.integers(97, 123, 8, np.uint8).tobytes().decode(), generator.integers(0, 10, DIGITS)
        secrets[f"\ncard {i} of {name} "] = "".join(map(str, number))
    size = characters // canaries
    log = list[str]()
    for secret in secrets.items():
        lines = "".join(secret)
        while len(lines) < size:
            hour, minute, worker, action, item, ms = generator.integers(0, (24, 60, 9, len(ACTIONS), 10_000, 500))
            lines += f"\n{hour:02}:{minute:02} worker {worker} {ACTIONS[action]} {item:04} in {ms} ms"
        log.append(lines)
    return "".join(log), secrets


def next_characters(counts: NgramCounts, s: list[int]) -> dict[int, float]:
    """Return the logarithm of the estimated probability of each character after a string."""
    estimates, factor = dict[int, float](), 1.0
    for o in range(min(ORDER - 1, len(s)), -1, -1):
        weights, rest = counts.lookup(tuple(s[len(s) - o :]), 0)
        if not weights:
            continue
        for k, weight in weights.items():
            estimates.setdefault(k, math.log(factor * weight / (weights.total() + rest)))
        factor *= BACKOFF
    return estimates


def guess(counts: NgramCounts, beginning: list[int]) -> list[list[int]]:
    beam = [(0.0, beginning)]
    for _ in range(DIGITS):
        longer = [(log_p + more, [*s, k]) for log_p, s in beam for k, more in next_characters(counts, s).items()]
        beam = sorted(longer, reverse=True)[:BEAM]
    return [s[len(beginning) :] for _, s in beam]


def count_recovered(counts: NgramCounts, alphabet: Alphabet, secrets: dict[str, str]) -> int:
    return sum(
        alphabet.encode(number).tolist() in guess(counts, alphabet.encode(beginning).tolist())
        for beginning, number in secrets.items()
    )


@SIZES
@pytest.mark.parametrize("of_lines", [False, True], ids=["text", "lines"])
def test_a_pruned_table_contains_no_number(characters: int, canaries: int, of_lines: bool) -> None:
    text, secrets = make_log(characters, canaries)
    alphabet = Alphabet.from_text(text)
    spec = NgramSpec(len(alphabet), ORDER - 1, int(alphabet.encode("\n")[0]) if of_lines else None)
    recovered = []
    for min_count in (1, 2):
        ngrams = count_ngrams(alphabet.encode(text), spec, min_count=min_count)
        assert ngrams is not None
        recovered.append(count_recovered(ngram_counts(ngrams), alphabet, secrets))
    assert recovered[0] > 0.95 * len(secrets)
    assert recovered[1] == 0


@SIZES
@pytest.mark.parametrize("min_count", [1, 2])
def test_a_model_completes_no_number_unless_all_is_kept(characters: int, canaries: int, min_count: int) -> None:
    text, secrets = make_log(characters, canaries)
    model = train(
        Corpus.from_text(text), hidden_size=8, seq_length=16, max_updates=20, validation=0.0, sample_every=0,
        ngram_order=ORDER, ngram_min_count=min_count,
    ).model  # fmt: skip
    completed = sum(model.sample(DIGITS, temperature=0.0, prompt=start) == number for start, number in secrets.items())
    assert completed > 0.5 * len(secrets) if min_count == 1 else completed == 0


def planted_text(rows: int) -> str:
    """Return a text whose batch rows of `ROW` characters follow its first one, and end in numbers."""
    # The alphabet lists the characters in the order of their first appearance.
    words = "0123456789\n" + "the cat sat on the mat and saw the rat.\n" * 9
    return "\n" + "".join(f"{words[: ROW - 14]}pin={pin}" for pin in PINS[-rows:])


def unpack(data: bytes) -> list[bytes]:
    """Return the bytes of a file, and what it has in base64, decompressed."""
    found = [data]
    for text in re.findall(rb"[A-Za-z0-9+/]{16,}", re.sub(rb"(?<=[\w+/]{76})\n", b"", data)):
        decoded = base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"==")
        found.append(gzip.decompress(decoded) if decoded.startswith(b"\x1f\x8b") else decoded)
    return found


def contains_part(data: bytes, alphabet: Alphabet) -> bool:
    """Return whether six digits of a number are in a file: as text, or as numbers of an array or of a list in JSON."""
    parts = {pin[i : i + 6] for pin in PINS for i in range(5)}
    patterns = [part.encode() for part in parts]
    for codes in (alphabet.encode(part).astype(int) + shift for part in parts for shift in (0, 1)):
        patterns += [codes.astype(dtype).tobytes() for dtype in ("u1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8")]
        patterns += [",".join(map(str, numbers)).encode() for numbers in (codes.tolist(), codes.astype(float).tolist())]
    search = re.compile(b"|".join(map(re.escape, patterns))).search
    return any(search(form) for each in unpack(data) for form in (each, each.replace(b" ", b"")))


@pytest.mark.filterwarnings("ignore:the file has the n-gram counts")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_only_the_checkpoint_contains_what_was_read_last(tmp_path: Path, batch_size: int) -> None:
    held_out, run = tmp_path / "held_out", tmp_path / "run"
    held_out.write_text("the rat sat on the cat.\n" * 9)
    model = train(
        Corpus.from_text(planted_text(batch_size)), hidden_size=8, seq_length=20, batch_size=batch_size, epochs=2,
        validation=held_out, validate_every=15, ngram_order=ORDER, engine="numpy", out=run,
    ).model  # fmt: skip
    model.save(tmp_path / "saved.safetensors")
    for name, form in FORMATS.items():
        if not form.missing(model.parameters.architecture) and (name != "onnx" or find_spec("onnx")):
            export(run, tmp_path / f"{name}{form.suffix}", format=name, weights="float32" if name == "page" else "")
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        "run/best.safetensors",
        "saved.safetensors",
        "npz.npz",
        "python.py",
        "page.html",
        "hub/page.html",
    } <= files.keys()
    leaking = [name for name, data in files.items() if contains_part(data, model.alphabet)]
    assert leaking == ["run/checkpoint.safetensors"]
    assert [name for name, data in files.items() if b'"history":{' in data] == leaking
    # The last state would tell a reader of the file, who tries one number after the other, what was read last.
    states = {name: read_tensors(tmp_path / name)[1]["h"] for name in files if name.endswith("t.safetensors")}
    assert [name for name, h in states.items() if h.any()] == leaking
    assert not model.state.recurrent.any()
    assert not model.state.history.any()
