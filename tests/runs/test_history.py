"""Records: metrics and samples, written, read back, damaged and cut off; their history; the train loss."""

import csv
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise, starmap
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.config import Config, make_config
from elman.errors import ElmanError
from elman.runs import history
from elman.runs.directory import RunDirectory
from elman.runs.history import COLUMNS, MIN_CHARS, Losses, Metrics, Records, Sample, TrainLossEstimator
from elman.runs.writer import RunWriter
from elman.text import Corpus
from elman.training import checkpoints
from support.state import TEXT
from support.training import EXACT, ROWS, SMALL, StopsAt, rows, train

HEADER = b"update,epoch,smooth_loss,loss,train_loss,validation_loss,seconds,chars_per_second,learning_rate\n"

number = st.floats(-1e300, 1e300)
count = st.integers(0, 2**53)
row = st.builds(Metrics, count, count, number, number, number, st.none() | number, *[number] * 3)
sample = st.builds(Sample, count, st.none() | number, st.text(st.characters()))


@settings(max_examples=30)
@given(st.lists(row, max_size=5), st.lists(sample, max_size=5))
def test_rows_and_samples_are_restored_bit_for_bit(rows: list[Metrics], samples: list[Sample]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "metrics.csv").write_bytes(HEADER)
        directory, writer = RunDirectory(path), RunWriter(path)
        writer.append(rows, [])
        writer.append([], samples)
        assert directory.metrics() == rows
        assert directory.samples() == samples
        data = (path / "samples.jsonl").read_bytes()  # a sample is one line, whatever it contains
        assert (data.count(b"\n"), data.isascii()) == (len(samples), True)


def test_the_columns_of_the_metrics_and_the_keys_of_the_samples(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=25, out=tmp_path)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert (",".join(header) + "\n").encode() == HEADER == (",".join(COLUMNS) + "\n").encode()
    assert [row[0] for row in rows] == [*map(str, ROWS[:15]), "25"]
    assert {(row[5], row[8]) for row in rows} == {("", "0.1")}
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text("utf-8").splitlines()]
    assert [list(sample) for sample in samples] == [["update", "smooth_loss", "text"]] * 4
    assert [(sample["update"], sample["smooth_loss"] is None) for sample in samples] == [
        (0, True), (10, False), (20, False), (25, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "torn"),
    [
        ("metrics.csv", b"2"),
        ("metrics.csv", b"28,1,1.5,2.5,1.5,,0.1,3,0"),
        ("samples.jsonl", b"{"),
        ("samples.jsonl", b'{"update": 30, "text": "\xe2\x82'),
    ],
)
def test_a_partial_line_at_the_end_is_no_record(corpus: Corpus, tmp_path: Path, name: str, torn: bytes) -> None:
    train(corpus, **EXACT, max_updates=25, out=tmp_path)
    directory = RunDirectory(tmp_path)
    before = directory.metrics(), directory.samples()
    with (tmp_path / name).open("ab") as file:
        file.write(torn)
    assert (directory.metrics(), directory.samples()) == before
    run = train(corpus, resume=True, max_updates=30, out=tmp_path)
    assert run.metrics == directory.metrics()
    assert run.samples == directory.samples()


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        ("metrics.csv", [HEADER.decode()], "lacks the record of update 1, which"),
        ("metrics.csv", ["victimdata\n"], "its header was not written by this version"),
        ("metrics.csv", slice(0, -2), "lacks the record of update 24, which"),
        ("samples.jsonl", slice(1, None), "lacks the record of update 0, which"),
    ],
)
def test_a_file_without_records_of_the_checkpoint_is_left_alone(
    corpus: Corpus, tmp_path: Path, name: str, lines: list[str] | slice, words: str
) -> None:
    train(corpus, **EXACT, max_updates=25, out=tmp_path)
    path = tmp_path / name
    path.write_text("".join(path.read_text().splitlines(True)[lines] if isinstance(lines, slice) else lines))
    before = path.read_bytes()
    with pytest.raises(ElmanError, match=re.escape(words)):
        train(corpus, resume=True, max_updates=30, out=tmp_path)
    assert path.read_bytes() == before


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only a few records stay in memory."""
    monkeypatch.setattr(history, "NEWEST", 3)


@pytest.mark.usefixtures("few")
def test_older_records_are_read_where_they_were_written() -> None:
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
    assert (len(found), found[-1], found[17:], found[20:]) == (20, 19, [17, 18, 19], [])
    assert asked == []
    assert list(found) == [*range(20)]
    assert asked == [20]
    assert list(reversed(found)) == [*range(19, -1, -1)]
    assert (found[0], found[::-6]) == (0, [19, 13, 7, 1])
    assert found == [*range(20)]
    assert found != [*range(19)]
    with pytest.raises(IndexError):
        found[20]
    in_memory = Records(range(20))
    in_memory.spill()
    assert (in_memory[:2], list(in_memory)) == ([0, 1], [*range(20)])


@pytest.mark.usefixtures("few")
def test_a_saved_run_has_the_same_history(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_SHARE", 1e9)
    options = SMALL | {"metrics_every": 1, "sample_every": 1, "validation": 0.2, "validate_every": 4}
    expected = train(Corpus.from_text(TEXT), **options, max_updates=30)
    for updates, resume in ((17, False), (30, True)):
        run = train(corpus, **{} if resume else options, max_updates=updates, out=tmp_path, resume=resume)
        assert len(run.metrics._split[1]) < 10  # what is in memory
    assert rows(run.metrics) == rows(expected.metrics)
    assert run.samples == expected.samples
    assert run.history.latest_validation_loss == expected.history.latest_validation_loss is not None
    assert run.advice == expected.advice


T = 25
BATCH = Config(seq_length=T, batch_size=10)


def smooth_losses(losses: Iterable[float]) -> list[float]:
    return [*accumulate(losses, lambda smooth, loss: 0.999 * smooth + 0.001 * loss)]


def rows_of(losses: Sequence[float], every: int) -> list[Losses]:
    smooth, updates = smooth_losses(losses), range(every, len(losses) + 1, every)
    return [Losses(update, smooth[update - 1], losses[update - 1]) for update in updates]


def estimate(config: Config, rows: Iterable[Losses]) -> float:
    return [*starmap(TrainLossEstimator(config).append, rows)][-1]


COUNTING = [float(update) for update in range(500)]


@pytest.mark.parametrize(
    ("config", "losses", "every", "expected"),
    [
        (BATCH, [1000.0] * 900 + [50.0, 100.0] * 50, 20, 75.0),  # the mean of the last tenth
        (BATCH, COUNTING[:100], 1, fmean(COUNTING[80:100])),  # of the last 20, at least
        (BATCH, COUNTING, 1, fmean(COUNTING[450:])),
        (Config(seq_length=5), [500.0] * 50 + [5.0] * (MIN_CHARS // 5), 10, 5.0),  # and of enough characters
        # The smooth loss starts at the first loss, which counts for nothing after the first row.
        (Config(seq_length=T), [100.0] * 1000 + [60.0] * 1000, 1000, 60.0),
        (BATCH, [100.0] * 10 + COUNTING[:9] + [50.0], 10, 75.0),  # before there is such a row, the mean of the rows
    ],
)
def test_the_train_loss_is_a_recent_mean(config: Config, losses: list[float], every: int, expected: float) -> None:
    assert estimate(config, rows_of(losses, every)) == pytest.approx(expected, rel=0.01)


def test_it_is_the_smooth_loss_of_few_characters_and_never_jumps() -> None:
    rows = rows_of([float(update) for update in range(5)], 5)
    assert estimate(Config(seq_length=T), rows) == rows[-1].smooth_loss
    estimator = TrainLossEstimator(Config(seq_length=T, batch_size=100))
    curve = [estimator.append(*row) for row in rows_of([100.0 - update / 1000 for update in range(20_000)], 100)]
    assert all(after < before for before, after in pairwise(curve))


def test_between_two_rows_of_a_preset_it_does_not_fall_back_to_the_smooth_loss() -> None:
    config = make_config("minute")
    losses = [100.0] + [2.0] * 499
    smooth, estimator = smooth_losses(losses), TrainLossEstimator(config)
    for row in rows_of(losses, config.metrics_every)[:-1]:
        estimator.append(*row)
        for update in range(row.update, row.update + config.metrics_every):
            assert estimator.at(update, smooth[update - 1]) == pytest.approx(2.0)


def test_a_run_has_it_whether_it_was_resumed_or_not(corpus: Corpus, tmp_path: Path) -> None:
    options: dict[str, Any] = EXACT | {"max_updates": 40, "batch_size": 5, "seq_length": 10}
    expected = train(corpus, **options)
    assert expected.train_loss == expected.results()["train_loss"] == expected.metrics[-1].train_loss
    rows = [Losses(row.update, row.smooth_loss, row.loss) for row in expected.metrics]
    assert [row.train_loss for row in expected.metrics] == [*starmap(TrainLossEstimator(expected.config).append, rows)]
    train(corpus, **options, out=tmp_path, callback=StopsAt(20))
    assert train(corpus, out=tmp_path, resume=True).train_loss == expected.train_loss
    assert RunDirectory(tmp_path).metrics()[-1].train_loss == expected.train_loss
