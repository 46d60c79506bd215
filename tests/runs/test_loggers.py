"""The metrics once more: for TensorBoard, read back by its own reader, and as lines of JSON; whatever stops the run."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.runs.lifecycle import rule_of
from elman.runs.loggers import EVENTS, JSONL, TENSORBOARD
from elman.runs.records import RunDirectory
from elman.runs.run import Run
from elman.text import Corpus
from elman.training.callbacks import Nobody
from elman.training.train import train
from support.training import EXACT, StopsAt, assert_same

LOGS = ("jsonl", "tensorboard")
OPTIONS: dict[str, Any] = EXACT | {
    "epochs": 4, "validation": 0.2, "validate_every": 9, "schedule": "cosine", "warmup": 6, "optimizer": "adam",
    "learning_rate": 0.01,
}  # fmt: skip
SCALARS = {"smooth_loss", "loss", "validation_loss", "chars_per_second", "learning_rate"}


def rates(run: Run) -> dict[int, float]:
    """Return the learning rate of every update of a run whose end is known from the beginning."""
    end = run.state.update
    return dict(enumerate(replace(rule_of(run.config), end=end).learning_rates(0, end).tolist(), 1))


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / JSONL).read_text("utf-8").splitlines()]


def events(out: Path) -> tuple[dict[str, dict[int, float]], dict[int, str]]:
    """Return the scalars by their names and the texts, as TensorBoard reads them; none of them twice."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(out / TENSORBOARD), {"scalars": 0, "tensors": 0})
    found.Reload()
    told = {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}
    texts = []
    if "sample/text_summary" in found.Tags()["tensors"]:
        for event in found.Tensors("sample/text_summary"):
            texts.append((event.step, event.tensor_proto.string_val[0].decode("utf-8")))
    for steps in (*told.values(), texts):
        assert len(dict(steps)) == len(steps)
        assert sorted(dict(steps)) == [step for step, _ in steps]
    return {name: dict(steps) for name, steps in told.items()}, dict(texts)


def assert_logged(out: Path, *, rated: set[int] | None = None) -> None:
    """Both logs hold what the directory does, the learning rate of every update or of those given."""
    directory = RunDirectory(out)
    metrics, samples = directory.metrics(), directory.samples()
    assert [{**line, "learning_rate": None} for line in lines(out)] == [
        {**asdict(row), "learning_rate": None} for row in metrics
    ]
    scalars, texts = events(out)
    for name in SCALARS - {"learning_rate"}:
        expected = {row.update: getattr(row, name) for row in metrics if getattr(row, name) is not None}
        assert scalars.get(name, {}) == pytest.approx(expected, rel=1e-6), name  # they are float32 there
    assert {step: plain(text) for step, text in texts.items()} == {sample.update: sample.text for sample in samples}
    with_rate = {row.update for row in metrics} if rated is None else rated
    assert {line["update"] for line in lines(out) if line["learning_rate"] is not None} == with_rate
    assert scalars.get("learning_rate", {}).keys() == with_rate


def plain(text: str) -> str:
    """Return what a block of code in Markdown holds."""
    assert all(line.startswith("    ") for line in text.split("\n")[:-1])
    return "\n".join(line[4:] for line in text.split("\n")[:-1])


def test_the_logs_hold_what_the_directory_does(corpus: Corpus, tmp_path: Path) -> None:
    run = train(corpus, **OPTIONS, out=tmp_path, log=LOGS)
    assert_logged(tmp_path)
    expected = rates(run)
    assert {line["update"]: line["learning_rate"] for line in lines(tmp_path)} == pytest.approx(
        {row.update: expected[row.update] for row in run.metrics}
    )
    told = events(tmp_path)[0]
    assert told.keys() == SCALARS
    assert told["learning_rate"] == pytest.approx({row.update: expected[row.update] for row in run.metrics}, rel=1e-6)


def test_logs_do_not_change_the_run(corpus: Corpus, tmp_path: Path) -> None:
    assert_same(train(corpus, **OPTIONS, out=tmp_path, log=LOGS), train(corpus, **OPTIONS))


@pytest.mark.parametrize("again", [(), LOGS], ids=["not named again", "named again"])
def test_a_run_that_goes_on_neither_loses_nor_repeats_a_row(
    corpus: Corpus, tmp_path: Path, again: tuple[str, ...]
) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=LOGS, watcher=StopsAt(16))
    assert_logged(tmp_path)
    run = train(corpus, out=tmp_path, resume=True, log=again)
    assert_logged(tmp_path)
    assert [line["update"] for line in lines(tmp_path)] == [row.update for row in run.metrics]


def test_the_row_that_ended_a_shorter_run_has_no_place_in_a_longer_one(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **EXACT, max_updates=15, out=tmp_path, log=LOGS)
    assert [line["update"] for line in lines(tmp_path)] == [7, 14, 15]
    train(corpus, out=tmp_path, resume=True, max_updates=30)
    assert [line["update"] for line in lines(tmp_path)] == [7, 14, 21, 28, 30]
    assert_logged(tmp_path)


def test_a_run_that_went_on_without_its_log_is_filled_in(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, watcher=StopsAt(16))
    reached = RunDirectory(tmp_path).load().state.update
    train(corpus, out=tmp_path, resume=True, log=LOGS)
    assert_logged(tmp_path, rated={line["update"] for line in lines(tmp_path) if line["update"] > reached})


class Killed(Nobody):
    """Ends the process, as far as the run can tell, after an update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def progressed(self, run: Run, updates: int) -> None:
        if run.state.update >= self.update:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"\x28\0\0\0\0\0\0\0", bytes(range(40))], ids=["nothing", "a brace", "a length", "bytes"]
)
def test_what_no_checkpoint_covers_is_taken_away(corpus: Corpus, tmp_path: Path, torn: bytes) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=LOGS, watcher=StopsAt(16))
    checkpoint = tmp_path / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    train(corpus, out=tmp_path, resume=True, max_updates=30)
    checkpoint.write_bytes(before)
    for log in (tmp_path / JSONL, tmp_path / TENSORBOARD / EVENTS):
        with log.open("ab") as file:
            file.write(torn)
    run = train(corpus, out=tmp_path, resume=True)
    assert_logged(tmp_path)
    assert_same(run, train(corpus, **OPTIONS))


def test_a_killed_run_leaves_logs_that_can_be_read(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.training.train.CHECKPOINT_UPDATES", 9)
    monkeypatch.setattr("elman.training.train.CHECKPOINT_SHARE", np.inf)
    with pytest.raises(KeyboardInterrupt):
        train(corpus, **OPTIONS, out=tmp_path, log=LOGS, watcher=Killed(31))
    assert lines(tmp_path)
    assert_logged(tmp_path)


def test_a_run_begun_anew_has_nothing_of_another_in_its_logs(corpus: Corpus, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    train(corpus, **OPTIONS, out=other, log=LOGS)
    (out / TENSORBOARD).mkdir(parents=True)
    (out / TENSORBOARD / EVENTS).write_bytes((other / TENSORBOARD / EVENTS).read_bytes())
    (out / JSONL).write_bytes((other / JSONL).read_bytes())
    train(corpus, **OPTIONS | {"epochs": 1}, out=out, log=LOGS)
    assert_logged(out)


def test_texts_of_any_characters_are_shown_as_they_are(tmp_path: Path) -> None:
    text = "\ud800```\n# heading\n<b>\x00\x1b[31m\ttab\n\n\u2028 é漢\r\n" * 3
    train(Corpus.from_text(text), **EXACT, out=tmp_path, log=LOGS)
    written = RunDirectory(tmp_path).samples()
    _, texts = events(tmp_path)
    assert [plain(texts[sample.update]) for sample in written] == [
        sample.text.replace("\ud800", "\\ud800") for sample in written
    ]


# --- What does not fit ---


def test_a_log_that_is_not_known_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match="--log must be jsonl or tensorboard, and 'csv' came"):
        train(corpus, **OPTIONS, out=tmp_path / "run", log=["csv"])
    assert not (tmp_path / "run").exists()


def test_a_log_without_a_directory_is_refused(corpus: Corpus) -> None:
    with pytest.raises(ElmanError, match="name it by --out"):
        train(corpus, **OPTIONS, log=["jsonl"])


def test_without_the_library_it_says_what_to_install(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ElmanError, match=r"elman\[tensorboard\]"):
        train(corpus, **OPTIONS, out=tmp_path, log=["tensorboard"])
    train(corpus, **OPTIONS, out=tmp_path, log=["jsonl"])


def a_folder(log: Path) -> None:
    log.unlink(missing_ok=True)
    log.mkdir()


def a_file(log: Path) -> None:
    for inside in log.iterdir():
        inside.unlink()
    log.rmdir()
    log.write_bytes(b"")


@pytest.mark.parametrize(
    ("place", "becomes"), [(JSONL, a_folder), (f"{TENSORBOARD}/{EVENTS}", a_folder), (TENSORBOARD, a_file)]
)
def test_what_stands_in_the_place_of_a_log_is_said(
    corpus: Corpus, tmp_path: Path, place: str, becomes: Callable[[Path], None]
) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=LOGS, watcher=StopsAt(16))
    becomes(tmp_path / place)
    with pytest.raises(ElmanError, match="cannot write"):
        train(corpus, out=tmp_path, resume=True)
