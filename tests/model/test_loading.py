"""Trained models: the built-in one, and scores of lines in other processes."""

import math
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.model import loading
from elman.model.loading import MODELS, BuiltinModel, find_builtin, fingerprint, load_builtin
from elman.model.score_lines import score_lines
from elman.text import Corpus
from support.state import TEXT
from support.training import EXACT, train

NEWEST = MODELS[-1]
LINES = ["It was a dark night", "", "zzz", "tnhgin", "It was"]


@pytest.mark.parametrize("model", MODELS)
def test_its_file_is_the_one_that_is_described(model: BuiltinModel) -> None:
    loaded = load_builtin(model)
    assert fingerprint(loaded).hex() == model.fingerprint
    assert set(loaded.alphabet.characters) >= {"\n", "\t", "\r", *map(chr, range(32, 127)), *"“”‘’—é"}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (NEWEST._replace(sha256="0" * 64), f"the contents of {NEWEST.file} do not match its SHA-256"),
        (NEWEST._replace(file="none.xz"), "cannot read none.xz: No such file or directory"),
    ],
)
def test_a_damaged_file_is_one_line(model: BuiltinModel, reason: str) -> None:
    with pytest.raises(ElmanError) as raised:
        load_builtin(model)
    assert str(raised.value) == f"the built-in model cannot be used ({reason}): reinstall elman, or pass a run"


def test_models_are_found_by_the_start_of_their_fingerprint() -> None:
    whole = bytes.fromhex(NEWEST.fingerprint)
    assert [find_builtin(whole[:width]) for width in (2, 4, 32)] == [NEWEST] * 3
    assert find_builtin(bytes([whole[0] ^ 1]) + whole[1:4]) is None


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
    monkeypatch.setattr(loading, "load", None)  # a copy does not load again
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


def test_a_model_is_named_after_its_run_or_file(tmp_path: Path) -> None:
    (tmp_path / "run.3").mkdir()
    for file, name in (("run.3", "run.3"), ("run.3/best.safetensors", "run.3"), ("run.3/a.safetensors", "a")):
        assert loading.name_model(tmp_path / file) == name
