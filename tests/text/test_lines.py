"""Independent lines: the form of their text, their orders, their split and their hashes."""

import numpy as np
import pytest

from elman.text import Corpus, read_corpus
from elman.text import lines as module
from elman.text.lines import Lines, make_lines, shuffle_corpus, split_lines

NAMES = [f"name {n}" for n in range(40)]


def corpus_of(text: str) -> Corpus:
    return Corpus.from_text(text)


def as_list(lines: Lines, corpus: Corpus) -> list[str]:
    text = corpus.alphabet.decode(lines.indices)
    assert text[0] == text[-1] == "\n"
    assert [n for n, character in enumerate(text) if character == "\n"] == lines.starts.tolist()
    return text[1:-1].split("\n")


@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    "text", ["ab\nc\nde", "ab\nc\nde\n", "\n\nab\n\nc\nde\n\n", "ab\r\nc\r\n\r\nde\r\n", "ab\r\nc\nde\r"]
)
def test_lines_of_a_text(monkeypatch: pytest.MonkeyPatch, text: str, chunk: int) -> None:
    """Empty lines are dropped, and so are carriage returns before line feeds; any chunks give the same."""
    monkeypatch.setattr(module, "LINES", chunk)
    corpus = read_corpus(corpus_of(text), lines=True)
    assert "\r" not in corpus.alphabet.characters
    lines = make_lines(corpus.indices, corpus.alphabet)
    assert as_list(lines, corpus) == ["ab", "c", "de"]
    assert module.hash_training_lines(corpus, lines).tolist() == sorted(module.hash_texts(["ab", "c", "de"]).tolist())


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_carriage_returns_at_the_ends_of_chunks(size: int) -> None:
    text = "ab\r\nc\rd\r\r\n\r\ne\r"
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join(module.trim_chunks(chunks)) == module.trim_lines(text) == "ab\nc\rd\n\ne"


def test_the_orders_follow_from_seed_and_epoch() -> None:
    corpus = corpus_of("\n".join(NAMES))
    lines = make_lines(corpus.indices, corpus.alphabet)
    orders = {key: as_list(lines.shuffle(*key)[0], corpus) for key in ((1, 0), (1, 1), (2, 0), (2, 1))}
    assert all(sorted(order) == sorted(NAMES) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    assert as_list(lines.shuffle(1, 1)[0], corpus) == orders[1, 1]
    assert as_list(lines.shuffle(1, 0)[0], corpus)[:3] == ["name 16", "name 26", "name 7"]  # with any version of NumPy


def test_where_shuffled_characters_were() -> None:
    """The line feed that ends a line is that which ended it before, as its context is that line."""
    corpus = corpus_of("\n".join(NAMES))
    lines = make_lines(corpus.indices, corpus.alphabet)
    shuffled, moves = lines.shuffle(1, 1)
    positions = np.arange(1, len(shuffled.indices)).reshape(-1, 2)
    originals = moves.originals(positions)
    np.testing.assert_array_equal(lines.indices[originals], shuffled.indices[positions])
    np.testing.assert_array_equal(np.sort(originals.ravel()), np.arange(1, len(lines.indices)))
    assert (np.diff(originals.ravel()) == 1).sum() >= len(positions.ravel()) - len(NAMES)


def test_the_split_is_by_lines_at_random() -> None:
    corpus = corpus_of("\n".join(NAMES))
    shuffled = shuffle_corpus(corpus, seed=1)
    assert (shuffled.sha256, shuffled.name, shuffled.alphabet) == (corpus.sha256, corpus.name, corpus.alphabet)
    assert shuffle_corpus(shuffled, seed=1) is shuffled
    training, validation = split_lines(shuffled, 0.1)
    assert validation is not None
    kept, held_out = as_list(training, corpus), as_list(validation, corpus)
    assert (len(kept), len(held_out)) == (36, 4)
    assert sorted(kept + held_out) == sorted(NAMES)
    assert held_out != NAMES[-4:]
    everything, nothing = split_lines(shuffled, 0.0)
    assert (len(everything), nothing) == (40, None)


@pytest.mark.parametrize("validation", [0.01, 0.99])
def test_both_sets_have_a_line(validation: float) -> None:
    training, held_out = split_lines(shuffle_corpus(corpus_of("a\nb\nc"), 1), validation)
    assert held_out is not None
    assert len(training) >= 1 <= len(held_out)
