"""Choosing the weights of a search: fewer errors than at the start, and the search for the fewest."""

import numpy as np
import pytest

import elman
from elman.apps.decode import Weights, edit_distance, search_weights
from elman.errors import ElmanError
from elman.network.output import log_softmax
from elman.text import Corpus
from support.training import SMALL, train

SYMBOLS = ["", *"ab "]
LINES = ["ab ab ab", "ab abab", "abab ab", "ab ab"]


def make_frames(line: str, rng: np.random.Generator) -> np.ndarray:
    """Return frames in which the blank takes a part of every symbol."""
    logits = rng.normal(size=(2 * len(line), len(SYMBOLS)))
    logits[::2, 0] += 2.5
    logits[range(0, 2 * len(line), 2), [SYMBOLS.index(each) for each in line]] += 2.5
    logits[1::2, 0] += 6
    return log_softmax(logits)


def test_weights_have_fewer_errors() -> None:
    rng = np.random.default_rng(1)
    frames = [make_frames(line, rng) for line in LINES]
    model = train(Corpus.from_text("\n".join(LINES * 9)), **SMALL | {"lines": True, "max_updates": 20}).model
    tried: list[Weights] = []
    for lm in (None, model):
        tried.clear()
        chosen = elman.choose_weights(frames, LINES, SYMBOLS, lm, on_errors=tried.append)
        texts = [elman.decode_ctc(each, SYMBOLS, lm, alpha=chosen.alpha, beta=chosen.beta)[0].text for each in frames]
        assert chosen.errors == sum(map(edit_distance, LINES, texts)) == min(each.errors for each in tried)
        assert chosen.errors < tried[0].errors or chosen.errors == 0
        assert (chosen.chars, chosen.cer) == (sum(map(len, LINES)), chosen.errors / sum(map(len, LINES)))
    assert tried[0][:2] == (0.5, 2.5)


def test_the_search_ends_where_no_step_helps() -> None:
    def count(alpha: float, beta: float) -> int:
        return round(100 * (alpha - 0.8) ** 2 + (beta - 4) ** 2 * 4)

    assert search_weights(count, 0.5, 2.5) == pytest.approx((0.8, 4.0), abs=0.11)


@pytest.mark.parametrize(
    ("a", "b", "errors"), [("", "", 0), ("ab", "", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "abc", 0)]
)
def test_edit_distance(a: str, b: str, errors: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == errors


def test_a_reference_for_each_line_is_needed() -> None:
    with pytest.raises(ElmanError, match="1 lines and 2 references"):
        elman.choose_weights([np.zeros((0, 4))], ["a", "b"], SYMBOLS)
