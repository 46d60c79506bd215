"""The examples that score lines: n-grams, metrics, generated logs."""

import inspect
import math
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from support.state import ROOT


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield import_module
    for name in ("ngram", "odd_lines", "languages", "experiments"):
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


def test_an_example_on_logs(examples: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    odd_lines = examples("odd_lines")
    sizes = {"SEEDS": (7,), "TRAINING": 400, "TESTING": 300, "ANOMALIES": 14, "UPDATES": 40, "ORDER": 4}
    for name, value in sizes.items():
        monkeypatch.setattr(odd_lines, name, value)
    odd_lines.main()
    rows = capsys.readouterr().out.splitlines()[-7:]
    assert [row.split(",")[0] for row in rows] == ["elman"] * 4 + ["4-gram"] * 3
    shares = [float(row.split("%")[0].split()[-1]) for row in rows]
    assert shares[0] > 14 / 300  # of lines flagged at random


@pytest.mark.slow  # .ci/run has it
def test_languages_in_small(examples: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    languages = examples("languages")
    for name, value in {"TEST_LINES": 40, "TRAINING_CHARS": 20_000, "UPDATES": 60, "ORDERS": (3,)}.items():
        monkeypatch.setattr(languages, name, value)
    languages.main()
    elman, ngram = capsys.readouterr().out.splitlines()[-2:]
    assert (elman.split()[0], ngram.split()[0]) == ("elman", "3-gram")
    assert float(elman.split()[1]) > 0.4  # 0.25 is guessing
    assert float(ngram.split()[1]) > 0.4


def test_an_experiment_has_at_most_ten_lines(examples: Any) -> None:
    experiments = examples("experiments")
    for experiment in experiments.EXPERIMENTS:
        assert len(inspect.getsource(experiment).rstrip().splitlines()) <= 11, experiment.__name__
    _, axes = experiments.plt.subplots()
    norms = experiments.gradient_flow(axes)
    assert norms[0.5] < 1e-9 < 1e3 < norms[3.0]
