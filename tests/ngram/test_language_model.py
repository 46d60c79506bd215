"""A table is counted, stored and scored without any network."""

import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.ngram import language_model
from elman.ngram.counting import count_ngrams
from elman.ngram.model import Indices, NgramModel, describe_ngrams, ngram_tensors, read, restore_ngrams
from elman.ngram.table import MAX_ORDER, NgramSpec
from elman.text import Alphabet
from support import tolerances as tolerances

TEXT = "the cat sat on the mat,\nand the dog lay by the door.\n" * 9
ALPHABET = Alphabet("".join(dict.fromkeys(TEXT)))
X = ALPHABET.encode(TEXT)


def counted(reset_at: int | None = None) -> NgramModel:
    ngrams = count_ngrams(X, NgramSpec(len(ALPHABET), 4, reset_at))
    assert ngrams is not None
    return ngrams


@pytest.mark.parametrize("reset_at", [None, ALPHABET.characters.index("\n")])
def test_a_stored_model_scores_as_the_counted_one(reset_at: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    ngrams = counted(reset_at)
    loaded = restore_ngrams(describe_ngrams(ngrams), ngram_tensors(ngrams), ngrams.table.spec)
    for name, array in ngram_tensors(ngrams).items():
        np.testing.assert_array_equal(ngram_tensors(loaded)[name], array)
    losses = language_model.compute_losses(loaded, X)
    log_q, _, _ = read(ngrams, np.zeros(ngrams.context_length, np.int32), X[:-1])
    np.testing.assert_allclose(losses, -log_q[np.arange(len(X) - 1), X[1:]], rtol=0, atol=tolerances.LOG_Q)
    assert losses.mean() < 0.5
    monkeypatch.setattr(language_model, "MAX_LOG_Q", 50 * len(ALPHABET))  # in several parts
    np.testing.assert_array_equal(language_model.compute_losses(loaded, X), losses)


def test_every_command_has_the_highest_order(tmp_path: Path) -> None:
    """KenLM's order of 20 is one of 19 here."""
    assert MAX_ORDER >= 19
    options: dict[str, Any] = {"preset": "reference", "hidden_size": 4, "seq_length": 8, "max_updates": 3}
    trained = elman.train(elman.Corpus.from_text(TEXT), out=tmp_path / "run", ngram_order=MAX_ORDER, **options)
    model = elman.load(tmp_path / "run")
    assert model.score(TEXT).nats == trained.model.score(TEXT).nats
    elman.export(model, tmp_path / "network.npz")
    assert elman.import_(tmp_path / "network.npz").score(TEXT).nats == model.score(TEXT).nats
    with pytest.raises(ElmanError, match=f"ngram_order .* {MAX_ORDER}"):
        elman.train(elman.Corpus.from_text(TEXT), ngram_order=MAX_ORDER + 1, **options)


def test_no_network_is_imported() -> None:
    code = (
        "import sys, numpy as np; from elman.ngram import counting, model as ngram_model, language_model, table;"
        "x = np.zeros(9, np.uint8); model = counting.count_ngrams(x, table.NgramSpec(1, 2));"
        "language_model.compute_losses(model, x); ngram_model.ngram_tensors(model);"
        "print([name for name in sys.modules if name.startswith(('elman.network', 'elman.engine.'))])"
    )
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("x", [np.zeros(0, np.uint8), np.array([0, len(ALPHABET)]), np.array([0, -1])], ids=str)
def test_a_text_of_other_indices_is_refused(x: Indices) -> None:
    calls = (lambda: count_ngrams(x, NgramSpec(len(ALPHABET), 2)), lambda: language_model.compute_losses(counted(), x))
    for call in calls:
        with pytest.raises(ElmanError, match=r"^a text must be one or more indices from 0 to "):
            call()
