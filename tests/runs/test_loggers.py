"""The loggers: TensorBoard's, read back by its own reader, JSON lines, and the registry; whatever stops the run."""

import json
import struct
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.loggers import LOGGERS, logger_help, open_loggers, optional_loggers
from elman.runs.loggers.base import JsonlLogger, MetricsLogger
from elman.runs.loggers.tensorboard import EVENTS, TensorBoardLogger
from elman.runs.plots import LossCurve
from elman.runs.records import Metrics, Sample
from elman.runs.run import Run
from elman.text import Corpus
from support.cli import Command
from support.state import ROOT, TEXT, T
from support.training import EXACT, Killed, StopsAt, assert_same, assert_saved, train

JSONL, TENSORBOARD = JsonlLogger.target, TensorBoardLogger.target
LOGS = ("jsonl", "tensorboard")
OPTIONS: dict[str, Any] = EXACT | {
    "epochs": 4, "validation": 0.2, "validate_every": 9, "schedule": "cosine", "warmup": 6, "optimizer": "adam",
    "learning_rate": 0.01,
}  # fmt: skip
SCALARS = {"smooth_loss", "loss", "validation_loss", "chars_per_second", "learning_rate"}


def rates_of_rows(run: Run) -> dict[int, float]:
    """Return the learning rate at every row of a run whose end is known from the beginning."""
    end = run.state.update
    rates = replace(run.optimizer, end=end).learning_rates(0, end).tolist()
    return {row.update: rates[row.update - 1] for row in run.metrics}


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / JSONL).read_text("utf-8").splitlines()]


def events(out: Path) -> tuple[dict[str, dict[int, float]], dict[int, str]]:
    """Return the scalars by name and the samples, as TensorBoard reads them; none of them twice."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_accumulator")
    found = accumulator.EventAccumulator(str(out / TENSORBOARD), {"tensors": 0})
    found.Reload()
    scalars: dict[str, dict[int, float]] = {}
    texts: dict[int, str] = {}
    for tag in found.Tags()["tensors"]:
        steps = [event.step for event in found.Tensors(tag)]
        assert steps == sorted(set(steps))
        for event in found.Tensors(tag):
            if tag == "sample/text_summary":
                texts[event.step] = event.tensor_proto.string_val[0].decode("utf-8")
            else:
                scalars.setdefault(tag, {})[event.step] = event.tensor_proto.float_val[0]
    return scalars, texts


def assert_logged(out: Path, *, rated: set[int] | None = None) -> None:
    """Both logs contain what the directory does, and the learning rates of all rows or of those given."""
    directory = RunDirectory(out)
    metrics, samples = directory.metrics(), directory.samples()
    assert [{**line, "learning_rate": None} for line in lines(out)] == [
        {**asdict(row), "learning_rate": None} for row in metrics
    ]
    scalars, texts = events(out)
    for name in SCALARS - {"learning_rate"}:
        chars = T if name in ("loss", "smooth_loss") else 1  # losses are nats per character there
        expected = {row.update: getattr(row, name) / chars for row in metrics if getattr(row, name) is not None}
        assert scalars.get(name, {}) == pytest.approx(expected, rel=1e-6), name  # they are float32 there
    assert {step: plain(text) for step, text in texts.items()} == {sample.update: sample.text for sample in samples}
    with_rate = {row.update for row in metrics} if rated is None else rated
    assert {line["update"] for line in lines(out) if line["learning_rate"] is not None} == with_rate
    assert scalars.get("learning_rate", {}).keys() == with_rate


def plain(text: str) -> str:
    """Return the contents of a Markdown code block."""
    assert all(line.startswith("    ") for line in text.split("\n")[:-1])
    return "\n".join(line[4:] for line in text.split("\n")[:-1])


def test_the_logs_hold_what_the_directory_does(corpus: Corpus, tmp_path: Path) -> None:
    run = train(corpus, **OPTIONS, out=tmp_path, log=LOGS)
    assert_same(run, train(corpus, **OPTIONS))
    assert_logged(tmp_path)
    rates = rates_of_rows(run)
    assert {line["update"]: line["learning_rate"] for line in lines(tmp_path)} == pytest.approx(rates)
    scalars = events(tmp_path)[0]
    assert scalars.keys() == SCALARS | {"loss/train", "loss/validation"}
    assert scalars["loss/validation"] == scalars["validation_loss"]
    assert scalars["loss/train"] == pytest.approx(
        dict(zip(*LossCurve(run.corpus.name, run.metrics, run.config).train_losses(), strict=True))
    )
    assert scalars["learning_rate"] == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("again", [(), LOGS], ids=["not named again", "named again"])
def test_a_resumed_run_neither_loses_nor_repeats_a_row(corpus: Corpus, tmp_path: Path, again: tuple[str, ...]) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=LOGS, callback=StopsAt(16))
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


def test_a_log_is_filled_in_for_a_run_that_was_started_without_it(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(16))
    reached = RunDirectory(tmp_path).load().state.update
    train(corpus, out=tmp_path, resume=True, log=LOGS)
    assert_logged(tmp_path, rated={line["update"] for line in lines(tmp_path) if line["update"] > reached})


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"\x28\0\0\0\0\0\0\0", bytes(range(40))], ids=["nothing", "a brace", "a length", "bytes"]
)
def test_records_that_no_checkpoint_covers_are_dropped(corpus: Corpus, tmp_path: Path, torn: bytes) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=LOGS, callback=StopsAt(16))
    checkpoint = tmp_path / "checkpoint.safetensors"
    before = checkpoint.read_bytes()
    train(corpus, out=tmp_path, resume=True, max_updates=30)
    checkpoint.write_bytes(before)
    for log in (tmp_path / JSONL, max((tmp_path / TENSORBOARD).glob(EVENTS))):
        with log.open("ab") as file:
            file.write(torn)
    run = train(corpus, out=tmp_path, resume=True)
    assert_logged(tmp_path)
    assert_same(run, train(corpus, **OPTIONS))


def test_a_killed_run_leaves_logs_that_can_be_read(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elman.training.loop.CHECKPOINT_UPDATES", 9)
    monkeypatch.setattr("elman.training.loop.CHECKPOINT_SHARE", np.inf)
    with pytest.raises(KeyboardInterrupt):
        train(corpus, **OPTIONS, out=tmp_path, log=LOGS, callback=Killed(31))
    assert lines(tmp_path)
    assert_logged(tmp_path)


def test_a_new_run_has_nothing_of_another_in_its_logs(corpus: Corpus, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    train(corpus, **OPTIONS, out=other, log=LOGS)
    out.mkdir()
    (other / TENSORBOARD).rename(out / TENSORBOARD)
    (other / JSONL).rename(out / JSONL)
    train(corpus, **OPTIONS | {"epochs": 1}, out=out, log=LOGS)
    assert_logged(out)


def test_samples_of_any_characters_are_shown_as_they_are(tmp_path: Path) -> None:
    text = "\ud800```\n# heading\n<b>\x00\x1b[31m\ttab\n\n\u2028 é漢\r\n" * 3
    train(Corpus.from_text(text), **EXACT, out=tmp_path, log=LOGS)
    written = RunDirectory(tmp_path).samples()
    _, texts = events(tmp_path)
    assert [plain(texts[sample.update]) for sample in written] == [
        sample.text.replace("\ud800", "\\ud800") for sample in written
    ]


# --- Errors ---


@pytest.mark.parametrize(
    ("log", "missing", "expected"),
    [
        ("csv", None, r"^log must be jsonl, tensorboard or wandb \(got 'csv'\)$"),
        ("tensorboard", "tensorboardX", r"elman\[tensorboard\]"),
        ("wandb", "wandb", r"elman\[wandb\]"),
    ],
)
def test_a_logger_that_there_is_not(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, missing: str | None, expected: str
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ElmanError, match=expected):
        train(corpus, **OPTIONS, out=tmp_path / "run", log=[log])
    assert not (tmp_path / "run").exists()
    with pytest.raises(ElmanError, match=r"^log requires out, the directory of the run$"):
        train(corpus, **OPTIONS, log=["jsonl"])


@pytest.mark.parametrize("log", LOGS)
def test_what_is_in_the_place_of_a_log_is_reported(corpus: Corpus, tmp_path: Path, log: str) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=[log], callback=StopsAt(16))
    path = tmp_path / LOGGERS[log].target
    was_file = path.is_file()
    path.rename(tmp_path / "moved")
    if was_file:
        path.mkdir()
    else:
        path.touch()
    with pytest.raises(ElmanError, match="cannot write"):
        train(corpus, out=tmp_path, resume=True)


# --- The registry ---


class ToyLogger(MetricsLogger):
    """Writes the updates and the characters of the samples, a line each, and that it was closed."""

    target = "toy.txt"
    help = "a line per record"

    def __init__(self, folder: Path) -> None:
        self.path = folder / self.target

    def rewind(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        self.path.write_text("", encoding="utf-8")
        self.append(metrics, samples)

    def append(self, metrics: Sequence[Metrics], samples: Sequence[Sample]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{row.update}\n" for row in metrics)
            file.writelines(f"sample {sample.update} {len(sample.text)}\n" for sample in samples)

    def close(self) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("closed\n")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a logger that is registered and nothing else."""
    monkeypatch.setitem(LOGGERS, "toy", ToyLogger)
    return "toy"


TOY_LINES = [*map(str, (7, 14, 20)), "sample 0 20", "sample 10 20", "sample 20 20", "closed"]


def test_a_registered_logger_is_written_by_the_public_interface(corpus: Corpus, tmp_path: Path, toy: str) -> None:
    run = elman.train(corpus, **EXACT, max_updates=20, out=tmp_path, log=[toy])
    assert_saved(tmp_path, run)
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines() == TOY_LINES
    elman.train(corpus, out=tmp_path, resume=True, max_updates=22)  # which knows it by its file
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines() == [
        "7", "14", "sample 0 20", "sample 10 20", "sample 20 20", "21", "22", "closed"
    ]  # fmt: skip


def test_a_registered_logger_is_written_by_the_command(command: Command, tmp_path: Path, toy: str) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    network = ("--preset", "reference", "--hidden-size", 4, "--engine", "numpy")
    records = ("--metrics-every", 7, "--sample-every", 10, "--sample-length", 20)
    limits = ("--seq-length", T, "--max-updates", 20)
    ended = command("train", tmp_path / "text", "--out", tmp_path / "run", *network, *records, *limits, "--log", toy)
    assert ended.code == 0
    assert (tmp_path / "run" / "toy.txt").read_text("utf-8").splitlines() == TOY_LINES


def test_a_registered_logger_is_in_the_help_and_in_errors_and_closed_in_any_case(
    corpus: Corpus, tmp_path: Path, toy: str
) -> None:
    assert "* toy: a line per record, in OUT/toy.txt." in logger_help()
    with pytest.raises(ElmanError, match=r"log must be jsonl, tensorboard, wandb or toy \(got 'tou'\)"):
        open_loggers(tmp_path, ["tou"])
    with pytest.raises(KeyboardInterrupt):
        train(corpus, **EXACT, out=tmp_path, log=[toy], callback=Killed(5))
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines()[-1] == "closed"


def test_the_registry() -> None:
    assert [name for name, logger in LOGGERS.items() if logger.always_on] == list(LOGGERS)[:2] == ["csv", "samples"]
    assert len({logger.target for logger in LOGGERS.values()}) == len(LOGGERS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert all(not logger.extra or logger.extra in extras for logger in LOGGERS.values())


def test_the_docstring_of_train_and_the_docs_name_every_optional_logger() -> None:
    docs = (ROOT / "docs" / "how_to" / "monitor_training.md").read_text("utf-8")
    for name, logger in optional_loggers().items():
        assert f"* {name}: {logger.help}" in (elman.train.__doc__ or "")
        assert f"--log {name}" in docs, name
        assert f"`{logger.target}" in docs, name


# --- Weights & Biases, offline ---


@pytest.fixture
def wandb_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host is contacted."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def wandb_history(out: Path) -> tuple[set[str], list[dict[str, Any]]]:
    """Return the ids of the W&B runs that a directory holds, and what was logged to them, in order."""
    from wandb.proto import wandb_internal_pb2

    def records(path: Path) -> list[Any]:
        return [wandb_internal_pb2.Record.FromString(data) for data in leveldb_records(path.read_bytes())]

    ids, rows = set(), []
    for path in sorted((out / "wandb").glob("offline-run-*/run-*.wandb")):
        ids.add(path.stem.removeprefix("run-"))
        patience = time.monotonic() + 30
        while not any(record.HasField("exit") for record in records(path)):  # its own process writes the file
            assert time.monotonic() < patience
            time.sleep(0.05)
        for record in records(path):
            if record.HasField("history"):
                items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
                rows.append({key: json.loads(value) for key, value in items.items()})
    return ids, rows


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log: blocks of 32 KiB, records in one or several parts, each with a header."""
    at, record = 7, b""  # behind the file's own header
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # too short for a header
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # complete in one part, or the last part
            yield record
            record = b""


def assert_in_wandb(out: Path) -> None:
    """W&B has every row and every sample once, with losses in nats per character."""
    directory = RunDirectory(out)
    ids, history = wandb_history(out)
    assert len(ids) == 1
    rows = [entry for entry in history if "loss" in entry]
    assert [entry["update"] for entry in rows] == [row.update for row in directory.metrics()]
    for entry, row in zip(rows, directory.metrics(), strict=True):
        assert entry["loss"] == row.loss / T
        assert entry["smooth_loss"] == row.smooth_loss / T
        assert entry.get("validation_loss") == row.validation_loss
        assert entry["epoch"] == row.epoch
    written = [entry["update"] for entry in history if "loss" not in entry and "update" in entry]
    assert written == [sample.update for sample in directory.samples()]


@pytest.mark.usefixtures("wandb_offline")
def test_wandb_has_what_the_directory_has(corpus: Corpus, tmp_path: Path) -> None:
    run = train(corpus, **OPTIONS, out=tmp_path, log=["wandb"])
    assert_in_wandb(tmp_path)
    _, history = wandb_history(tmp_path)
    logged = {entry["update"]: entry["learning_rate"] for entry in history if "learning_rate" in entry}
    assert logged == pytest.approx(rates_of_rows(run))
    assert_same(run, train(corpus, **OPTIONS))


@pytest.mark.usefixtures("wandb_offline")
def test_wandb_gets_no_record_twice_from_a_resumed_run(corpus: Corpus, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(corpus, **OPTIONS, out=tmp_path, log=["wandb"], callback=StopsAt(15))
    before = checkpoint.read_bytes()
    train(corpus, out=tmp_path, resume=True, callback=StopsAt(28))
    checkpoint.write_bytes(before)  # so that the records in between are covered by no checkpoint
    expected = train(corpus, **OPTIONS)
    assert_same(train(corpus, out=tmp_path, resume=True), expected)
    rows = [entry["update"] for entry in wandb_history(tmp_path)[1] if "loss" in entry]
    assert len(rows) == len(set(rows))
    assert set(rows) >= {row.update for row in expected.metrics}


@pytest.mark.usefixtures("wandb_offline")
def test_wandb_is_filled_in_for_a_run_that_went_without_it(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(18))
    train(corpus, out=tmp_path, resume=True, log=["wandb"])
    rows = [entry["update"] for entry in wandb_history(tmp_path)[1] if "loss" in entry]
    assert rows == [row.update for row in RunDirectory(tmp_path).metrics()]


@pytest.mark.usefixtures("wandb_offline")
def test_a_new_run_is_a_new_run_of_wandb(corpus: Corpus, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    train(corpus, **OPTIONS, out=other, log=["wandb"])
    (out / "wandb").mkdir(parents=True)
    (out / "wandb" / "elman.json").write_bytes((other / "wandb" / "elman.json").read_bytes())
    train(corpus, **OPTIONS, out=out, log=["wandb"])
    assert_in_wandb(out)
    assert wandb_history(out)[0] != wandb_history(other)[0]
