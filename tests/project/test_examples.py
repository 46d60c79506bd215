"""What the examples that score lines rest on: the n-grams, the figures, the log."""

import math
import random
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from elman.text import Corpus
from support.state import ROOT


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a script of the examples by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield import_module
    for name in ("ngram", "odd_lines", "languages"):
        sys.modules.pop(name, None)


def test_witten_bell_by_hand(examples: Any) -> None:
    ngram = examples("ngram").NGram(["ab", "ac"], 1)
    # Behind nothing: a b c and two line feeds were seen, a twice, so four kinds of six; the alphabet has those four.
    nothing = {c: (count + 4 / 5) / (6 + 4) for c, count in {"a": 2, "b": 1, "c": 1, "\n": 2}.items()}
    behind_a = {c: (count + 2 * nothing[c]) / (2 + 2) for c, count in {"b": 1, "c": 1, "a": 0}.items()}
    behind_feed = (2 + 1 * nothing["a"]) / (2 + 1)
    assert ngram.losses("aba")[:2] == pytest.approx([-math.log(behind_feed), -math.log(behind_a["b"])])
    assert ngram.losses("aa")[1] == pytest.approx(-math.log(behind_a["a"]))


def test_the_probabilities_of_an_n_gram_sum_to_one(examples: Any) -> None:
    ngram = examples("ngram").NGram(["the rain", "in spain"], 3)
    for context in ("ai", "", "the", "zz"):
        known = sum(math.exp(-ngram.losses(context + c)[len(context)]) for c in ngram.characters - {"\n"})
        feed = math.exp(-ngram.losses(context)[len(context)])
        unknown = (0x110000 - len(ngram.characters)) * math.exp(-ngram.losses(context + "漢")[len(context)])
        assert known + feed + unknown == pytest.approx(1)


def test_average_precision(examples: Any) -> None:
    average_precision = examples("odd_lines").average_precision
    assert average_precision([True, True, False]) == 1
    assert average_precision([False, True, True]) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_log_is_the_same_again_and_its_odd_lines_are_known(examples: Any) -> None:
    odd_lines = examples("odd_lines")
    training, tested, odd = odd_lines.planted(7)
    assert (training, tested, odd) == odd_lines.planted(7)
    assert (len(training), len(tested), len(odd)) == (odd_lines.TRAINING, odd_lines.TESTED, odd_lines.PLANTED)
    clean = odd_lines.log(random.Random(7), odd_lines.TRAINING)
    assert training == clean
    assert not set(training) & {tested[n] for n in odd}
    assert {line[:10] for line in training} == {"2026-03-01"}


def test_an_example_on_a_log_in_small(
    examples: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd_lines = examples("odd_lines")
    for name, value in {
        "SEEDS": (7,),
        "TRAINING": 400,
        "TESTED": 300,
        "PLANTED": 14,
        "UPDATES": 40,
        "ORDER": 4,
    }.items():
        monkeypatch.setattr(odd_lines, name, value)
    odd_lines.main()
    rows = capsys.readouterr().out.splitlines()[-6:]
    assert [row.split(",")[0] for row in rows] == ["elman"] * 3 + ["4-gram"] * 3
    shares = [float(row.split("%")[0].split()[-1]) for row in rows]
    assert shares[0] > 14 / 300  # of lines drawn blindly


def test_languages_in_small(examples: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    languages = examples("languages")
    for name, value in {"TOLD": 40, "LEARNED": 20_000, "UPDATES": 60, "ORDERS": (3,)}.items():
        monkeypatch.setattr(languages, name, value)
    languages.main()
    elman, ngram = capsys.readouterr().out.splitlines()[-2:]
    assert (elman.split()[0], ngram.split()[0]) == ("elman", "3-gram")
    assert float(elman.split()[1]) > 0.4  # 0.25 is blind
    assert float(ngram.split()[1]) > 0.4


def test_no_line_is_told_that_was_learned(examples: Any) -> None:
    languages = examples("languages")
    told = {"x": ["only here"] * 2, "y": ["learned", "both", "there"], "z": ["both"]}
    assert languages.drawn(told, ["learned"]) == [("x", "only here"), ("y", "there")]


def test_what_is_said_of_a_language(examples: Any, capsys: pytest.CaptureFixture[str]) -> None:
    languages = examples("languages")
    answers = languages.decide({"x": [1.0, 3.0, 1.0], "y": [2.0, 2.0, 2.0]}, [("x", ""), ("y", ""), ("y", "")])
    assert answers == [("x", "x"), ("y", "y"), ("y", "x")]
    languages.show("name", answers)
    assert [float(word) for word in capsys.readouterr().out.split()[1:]] == [0.667, 0.5, 1, 1, 0.5]


def test_the_texts_have_enough_lines(examples: Any) -> None:
    languages = examples("languages")
    for learned, told in languages.texts().values():
        assert sum(map(len, languages.lines(learned))) > languages.LEARNED * 0.8
        assert len(set(languages.lines(told))) > languages.TOLD
        assert not {text for text in learned if len(text) > 200} & set(told)
    assert Corpus.from_text("\n".join(languages.lines(learned, 1000))).text.count("\n") > 5
