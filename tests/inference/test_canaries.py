"""Canaries: what occurs in one line of a text only cannot be read out of a model of the text.

A log contains lines of an unknown beginning and a random number. Whoever knows all of such a line but the number, and
the format of the table, chains the strings that it contains, of all lengths, by a beam search. The probability of a
character is estimated by stupid backoff (Brants et al. 2007).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from elman.ngram.counting import count_ngrams
from elman.ngram.file import describe_ngrams, ngram_tensors
from elman.text import Alphabet, Corpus
from support.state import ROOT
from support.training import train

DIGITS, ORDER = 16, 8
BEAM, BACKOFF = 5, 0.4
ACTIONS = "opened the page", "closed the page", "wrote the file", "read the file", "waited for the lock"
SIZES = pytest.mark.parametrize(
    ("characters", "canaries"), [(300_000, 60), pytest.param(5_000_000, 1_000, marks=pytest.mark.slow)]
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


@pytest.fixture(scope="module")
def ngram_prior() -> Iterator[Any]:
    """The reader of the table among the examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "examples"))
        yield import_module("ngram_prior")
        sys.modules.pop("ngram_prior", None)


def next_characters(prior: Any, s: list[int]) -> dict[int, float]:
    """Return the logarithm of the estimated probability of each character after a string."""
    estimates, factor = dict[int, float](), 1.0
    for o in range(min(prior.order, len(s)), -1, -1):
        node = prior.find(s[len(s) - o :])
        if node is None or not (weights := prior.weights[prior.children(node)]).any():
            continue
        total = weights.sum() + prior.rests[node]
        for k, weight in zip(prior.symbols[prior.children(node)].tolist(), weights.tolist(), strict=True):
            estimates.setdefault(k, math.log(factor * weight / total))
        factor *= BACKOFF
    return estimates


def guess(prior: Any, beginning: list[int]) -> list[list[int]]:
    """Return the most likely continuations of a string."""
    beam = [(0.0, beginning)]
    for _ in range(DIGITS):
        longer = [(log_p + more, [*s, k]) for log_p, s in beam for k, more in next_characters(prior, s).items()]
        beam = sorted(longer, reverse=True)[:BEAM]
    return [s[len(beginning) :] for _, s in beam]


def count_recovered(prior: Any, alphabet: Alphabet, secrets: dict[str, str]) -> int:
    """Return how many numbers are among those guessed."""
    return sum(
        alphabet.encode(number).tolist() in guess(prior, alphabet.encode(beginning).tolist())
        for beginning, number in secrets.items()
    )


@SIZES
@pytest.mark.parametrize("of_lines", [False, True], ids=["text", "lines"])
def test_a_table_contains_no_number_unless_all_is_kept(
    ngram_prior: Any, characters: int, canaries: int, of_lines: bool
) -> None:
    text, secrets = make_log(characters, canaries)
    alphabet = Alphabet.from_text(text)
    reset_at = int(alphabet.encode("\n")[0]) if of_lines else None
    recovered = []
    for min_count in (1, 2):
        ngrams = count_ngrams(alphabet.encode(text), len(alphabet), ORDER, min_count=min_count, reset_at=reset_at)
        assert ngrams is not None
        prior = ngram_prior.NgramPrior(
            ngram_tensors(ngrams, ""), len(alphabet), ORDER, **describe_ngrams(ngrams), reset_at=reset_at
        )
        recovered.append(count_recovered(prior, alphabet, secrets))
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
    completed = sum(
        model.sample(DIGITS, temperature=0.0, prompt=beginning) == number for beginning, number in secrets.items()
    )
    assert completed > 0.5 * len(secrets) if min_count == 1 else completed == 0
