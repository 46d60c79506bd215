"""The history of a run, of which only the newest items stay in memory."""

from pathlib import Path

import pytest

from elman.runs import records as module
from elman.runs.records import Records
from elman.text import Corpus
from elman.training import loop as training
from support.state import TEXT
from support.training import SMALL, rows, train


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only a few items stay in memory."""
    monkeypatch.setattr(module, "NEWEST", 3)


def test_spilled_items_are_read_where_they_were_written() -> None:
    written: list[int] = []
    asked: list[int] = []

    def read() -> list[int]:
        asked.append(len(written))
        return written

    found = Records[int](read=read)
    for n in range(20):
        found.append(n)
        written.append(n)
        found.spill()
    assert len(found) == 20
    assert found[-1] == 19
    assert found[17:] == [17, 18, 19]
    assert asked == []
    assert list(found) == [*range(20)]
    assert asked == [20]
    assert list(reversed(found)) == [*range(19, -1, -1)]
    assert found[::-6] == [19, 13, 7, 1]
    assert found[0] == 0
    assert found[20:] == []
    assert found == [*range(20)]
    assert found != [*range(19)]
    with pytest.raises(IndexError):
        found[20]


def test_without_a_file_all_items_stay_in_memory() -> None:
    found = Records(range(20))
    found.spill()
    assert found[:2] == [0, 1]
    assert list(found) == [*range(20)]


def test_a_run_in_a_directory_has_the_history_of_one_in_memory(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    options = SMALL | {"metrics_every": 1, "sample_every": 1, "validation": 0.2, "validate_every": 4}
    expected = train(Corpus.from_text(TEXT), **options, max_updates=30)
    for updates, resume in ((17, False), (30, True)):
        run = train(corpus, **{} if resume else options, max_updates=updates, out=tmp_path, resume=resume)
        assert len(run.metrics._split[1]) < 10  # what is in memory
    assert rows(run.metrics) == rows(expected.metrics)
    assert run.samples == expected.samples
    assert run.latest_validation_loss == expected.latest_validation_loss is not None
    assert run.advice == expected.advice
