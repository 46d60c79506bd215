"""Lines scored in several processes."""

import math
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.apps import parallel
from elman.errors import ElmanError
from elman.model.score_lines import score_lines
from elman.text import Corpus
from support.state import TEXT
from support.training import EXACT, train

LINES = ["It was a dark night", "", "zzz", "tnhgin", "It was"]


@pytest.fixture
def scorer(corpus: Corpus, tmp_path: Path) -> elman.LineScorer:
    train(corpus, **EXACT, max_updates=5, out=tmp_path / "run")
    return elman.LineScorer(tmp_path / "run")


def test_the_scores_are_those_of_elman_score(scorer: elman.LineScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = score_lines(elman.load(scorer.path), ["\n".join(LINES) + "\n"])
    scores = scorer(LINES)
    assert scores["chars"].tolist() == [line.chars for line in expected]
    assert scores["worst_column"].tolist() == [line.worst_column for line in expected]
    for name in ("nats_per_char", "worst5_nats", "worst_nats"):
        np.testing.assert_array_equal(scores[name], [getattr(line, name) for line in expected])
    assert not math.isnan(scores["nats_per_char"][0])
    monkeypatch.setattr("elman.model.score_lines.BLOCK_LINES", 2)  # so that there are several blocks
    for name, array in scorer(LINES).items():
        np.testing.assert_array_equal(array, scores[name])
    assert {array.shape for array in scorer([]).values()} == {(0,)}
    assert elman.LineScorer("builtin").path == "builtin"
    assert scorer(["It was\n"])["chars"].tolist() == [7]


def test_it_is_pickled_as_a_path_and_loads_once(scorer: elman.LineScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer(LINES)
    assert len(pickle.dumps(scorer)) < 1000
    monkeypatch.setattr(parallel, "load", None)  # a copy does not load again
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(LINES)["chars"].tolist() == scorer(LINES)["chars"].tolist()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(copy, [LINES] * 8))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        scores += processes.map(scorer, [LINES])
    assert len({each["nats_per_char"].tobytes() for each in scores}) == 1


def test_what_cannot_be_scored(scorer: elman.LineScorer, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^line 2 of the batch contains a line feed: split it$"):
        scorer(["one", "two\nthree"])
    with pytest.raises(ElmanError, match=r"^there is no checkpoint "):
        elman.LineScorer(tmp_path / "none")(TEXT.splitlines())
