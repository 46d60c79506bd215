"""Many distinct characters, and rare ones, which an unknown symbol replaces."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import elman
from elman.errors import ElmanError
from elman.text import Corpus, replace_rare
from elman.text.unknown import MAX_UNCONFIRMED_SIZE
from support.cli import Command
from support.texts import PLAIN
from support.training import EXACT

MANY = "".join(map(chr, range(0x10000, 0x10000 + 60_000)))
FEW = EXACT | {"hidden_size": 2, "max_updates": 3, "sample_every": 0}


def test_sixty_thousand_characters_are_refused_with_what_they_cost() -> None:
    text = PLAIN * 50 + MANY + MANY[:4000] * 2
    K = len(set(text))
    share = f"min_count=2 to replace the 56,000 that occur fewer than 2 times ({56_000 / len(text):.2%}"
    costs = f"{4 * K:,} weights and need about {12 * K:,} operations per character, {K // 100} times as many"
    Path("text").write_text(text)
    with pytest.raises(ElmanError, match=f"{K:,} distinct .*5,000.*{costs}.*{re.escape(share)}.*min_count=1"):
        elman.train("text", out="run", **FEW)
    assert not Path("run").exists()
    assert len(elman.train("text", min_count=2, **FEW).corpus.alphabet) == K - 56_000 + 1


def test_the_largest_alphabet_that_needs_no_confirmation() -> None:
    run = elman.train(Corpus.from_text("\n" + MANY[: MAX_UNCONFIRMED_SIZE - 1]), **FEW)
    assert run.state.update == 3
    tracemalloc.start()
    run.model.score_lines([MANY[0]])
    assert tracemalloc.get_traced_memory()[1] < 150e6  # the logits of all sampled texts take 205 MB
    tracemalloc.stop()
    with pytest.raises(ElmanError, match=r"has 5,001 distinct .*; use min_count=1 .* equally frequent"):
        elman.train(Corpus.from_text(MANY[: MAX_UNCONFIRMED_SIZE + 1]), **FEW)
    with pytest.raises(ElmanError, match=r"\(limit without min_count: 5,000\); use min_count=1 "):
        elman.train(Corpus.from_text(MANY[: MAX_UNCONFIRMED_SIZE + 1]), preset="counts")


@pytest.mark.parametrize(
    ("text", "characters"),
    [("aab\ufffd\ufffe", "a\uffff"), ("aa\ufffd\ufffdb", "a\ufffd\ufffe"), ("\0\0abb", "\0b\ufffd")],
)
def test_the_symbol_is_the_next_free_character(text: str, characters: str) -> None:
    assert replace_rare(Corpus.from_text(text), 2).alphabet.characters == characters


@given(st.text(min_size=1), st.integers(0, 4))
def test_exactly_the_rare_characters_are_replaced(text: str, min_count: int) -> None:
    text += "ab" * 4
    corpus = replace_rare(Corpus.from_text(text), min_count)
    last = corpus.alphabet.characters[-1]
    assert corpus.text == "".join(c if text.count(c) >= min_count else last for c in text)
    assert corpus.alphabet.has_unknown == (min_count > 0)


def test_a_corpus_with_an_unknown_symbol_is_trained_on_as_it_is() -> None:
    replaced = replace_rare(Corpus.from_text(PLAIN), 2)
    assert elman.train(replaced, min_count=2, **FEW).corpus is replaced
    with pytest.raises(ElmanError, match=r"has an unknown symbol already \(got min_count = 0\): pass its min_count$"):
        elman.train(replaced, **FEW)


def test_a_model_with_rare_characters_refuses_none(command: Command) -> None:
    Path("text").write_text(PLAIN)
    run = elman.train("text", out="run", min_count=2, **FEW)
    last = run.corpus.alphabet.characters[-1]
    for model in (run.model, elman.load("run")):
        assert model.score("漢字 at night").nats == model.score(f"{last}{last} at night").nats
        assert model.sample(9, prompt="漢", seed=1) == model.sample(9, prompt=last, seed=1)
    assert elman.train("text", out="run", resume=True, max_updates=4).state.update == 4
    Path("other").write_text("漢字 at night")
    assert json.loads(command("eval", "run", "other", "--json").out)["chars"] == 10
    assert command("sample", "run", "--prompt", "漢", "--length", "9").code == 0
    with pytest.raises(ElmanError, match="is not among the model's"):
        elman.train(Corpus.from_text(PLAIN), **FEW).model.sample(9, prompt="漢字")
