"""The loggers: TensorBoard's, read back by its own reader, JSON lines, and the registry; whatever stops the run."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, replace
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.runs.history import Metrics, Sample
from elman.runs.loggers import LOGGERS, LoggerSpec, MetricsLogger, logger_help, open_loggers, optional_loggers
from elman.runs.loggers.tensorboard import EVENTS
from elman.text import Corpus
from elman.training import records
from elman.training.run import Run
from support.state import ROOT, TEXT
from support.training import EXACT, ROWS, Killed, StopsAt, assert_same, assert_saved, train

JSONL, TENSORBOARD = (LOGGERS[name].target for name in ("jsonl", "tensorboard"))
LOGS = ("jsonl", "tensorboard")
OPTIONS: dict[str, Any] = EXACT | {
    "epochs": 4, "validation": 0.2, "validate_every": 9, "schedule": "cosine", "warmup": 6, "optimizer": "adam",
    "learning_rate": 0.01,
}  # fmt: skip
SCALARS = {"smooth_loss", "loss", "train_loss", "validation_loss", "chars_per_second", "learning_rate"}


def rates_of_rows(run: Run) -> dict[int, float]:
    """Return the learning rate at every row of a run whose end is known from the beginning."""
    end = run.state.update
    rates = replace(run.optimizer, last_update=end).learning_rates(0, end).tolist()
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


def assert_logged(out: Path) -> None:
    """Both logs contain what the directory does."""
    directory = RunDirectory(out)
    metrics, samples = directory.metrics(), directory.samples()
    assert lines(out) == [*map(asdict, metrics)]
    scalars, texts = events(out)
    for name in SCALARS:
        expected = {row.update: getattr(row, name) for row in metrics if getattr(row, name) is not None}
        assert scalars.get(name, {}) == pytest.approx(expected, rel=1e-6), name  # they are float32 there
    assert {step: plain(text) for step, text in texts.items()} == {sample.update: sample.text for sample in samples}


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
    assert scalars["loss/train"] == scalars["train_loss"]
    assert scalars["learning_rate"] == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("again", [(), LOGS], ids=["not named again", "named again"])
def test_a_resumed_run_neither_loses_nor_repeats_a_row(corpus: Corpus, tmp_path: Path, again: tuple[str, ...]) -> None:
    train(corpus, **EXACT, max_updates=15, out=tmp_path, log=LOGS)
    assert_logged(tmp_path)
    train(corpus, out=tmp_path, resume=True, max_updates=30, log=again)  # without the row that ended the shorter run
    assert [line["update"] for line in lines(tmp_path)] == [*(n for n in ROWS if n < 30), 30]
    assert_logged(tmp_path)


def test_a_log_is_filled_in_for_a_run_that_was_started_without_it(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(16))
    train(corpus, out=tmp_path, resume=True, log=LOGS)
    assert_logged(tmp_path)


@pytest.mark.parametrize("torn", [b"", b"{", b"\x28\0\0\0\0\0\0\0", bytes(range(40))], ids=str)
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


@pytest.mark.parametrize(
    "name", ["metrics.csv", "samples.jsonl", "run.json", "smooth_loss.png", "metrics.jsonl", "tensorboard"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_may_be_another_programs_are_not_replaced(
    name: str, overwrite: bool, corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir() if name == TENSORBOARD else (tmp_path / name).write_text("another's")
    with pytest.raises(elman.ElmanError, match=f"{name}' already exists; move it, or choose another out$"):
        train(corpus, **EXACT, out=tmp_path, log=LOGS, overwrite=overwrite)
    assert {path.name for path in tmp_path.iterdir()} <= {name, ".lock"}
    (tmp_path / name).rmdir() if name == TENSORBOARD else (tmp_path / name).unlink()
    train(corpus, **EXACT, out=tmp_path)
    (tmp_path / JSONL).write_text("another's")
    with pytest.raises(elman.ElmanError, match=r"metrics\.jsonl' already exists"):
        train(corpus, **EXACT | {"max_updates": 50}, out=tmp_path, log=LOGS, resume=True)
    assert (tmp_path / JSONL).read_text() == "another's"


def test_samples_of_any_characters_are_shown_as_they_are(tmp_path: Path) -> None:
    text = "\ud800```\n# heading\n<b>\x00\x1b[31m\ttab\n\n\u2028 é漢\r\n" * 3
    train(Corpus.from_text(text), **EXACT, out=tmp_path, log=LOGS)
    _, texts = events(tmp_path)
    for sample in RunDirectory(tmp_path).samples():
        assert plain(texts[sample.update]) == sample.text.replace("\ud800", "\\ud800")


@pytest.mark.parametrize(("log", "missing"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_logger_whose_library_is_missing(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ElmanError, match=rf"elman\[{log}\]"):
        train(corpus, **OPTIONS, out=tmp_path / "run", log=[log])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("log", LOGS)
def test_what_is_in_the_place_of_a_log_is_reported(corpus: Corpus, tmp_path: Path, log: str) -> None:
    train(corpus, **OPTIONS, out=tmp_path, log=[log], callback=StopsAt(16))
    path = tmp_path / LOGGERS[log].target
    replace_by = Path.mkdir if path.is_file() else Path.touch
    path.rename(tmp_path / "moved")
    replace_by(path)
    with pytest.raises(ElmanError, match="cannot write"):
        train(corpus, out=tmp_path, resume=True)


class ToyLogger(MetricsLogger):
    """Writes the updates and the characters of the samples, a line each, and that it was closed."""

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
    monkeypatch.setitem(LOGGERS.core, "toy", LoggerSpec(f"{__name__}:ToyLogger", "toy.txt", "a line per record"))
    return "toy"


def test_a_registered_logger_is_written_by_the_public_interface(corpus: Corpus, tmp_path: Path, toy: str) -> None:
    run = elman.train(corpus, **EXACT, max_updates=20, out=tmp_path, log=[toy])
    assert_saved(tmp_path, run)
    samples = ["sample 0 20", "sample 10 20", "sample 20 20"]
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines() == [*map(str, ROWS[:13]), *samples, "closed"]
    elman.train(corpus, out=tmp_path, resume=True, max_updates=22)  # which knows it by its file
    written = [*map(str, ROWS[:13]), *samples, "21", "22", f"sample 22 {records.FINAL_LENGTH}", "closed"]
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines() == written


def test_a_registered_logger_is_in_help_and_errors_and_is_closed(corpus: Corpus, tmp_path: Path, toy: str) -> None:
    assert "* toy: a line per record, in OUT/toy.txt." in logger_help()
    with pytest.raises(ElmanError, match=r"log must be jsonl, toy, tensorboard or wandb \(got 'tou'\)"):
        open_loggers(tmp_path, ["tou"])
    with pytest.raises(KeyboardInterrupt):
        train(corpus, **EXACT, out=tmp_path, log=[toy], callback=Killed(5))
    assert (tmp_path / "toy.txt").read_text("utf-8").splitlines()[-1] == "closed"


def test_the_registry() -> None:
    assert [name for name in LOGGERS if name not in optional_loggers()] == ["csv", "samples"]
    assert len({logger.target for logger in LOGGERS.values()}) == len(LOGGERS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert all(not logger.extra or logger.extra in extras for logger in LOGGERS.values())
    docs = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    for name, logger in optional_loggers().items():
        assert f"* {name}: {logger.help}" in (elman.train.__doc__ or "")
        assert f"--log {name}" in docs, name
        assert f"`{logger.target}" in docs, name


History = dict[str, list[dict[str, Any]]]


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> History:
    """What was logged, by the id of the W&B run."""
    history: History = {}

    def init(*, id: str, resume: str | None, config: object, dir: Path, **_: object) -> SimpleNamespace:
        assert str(dir.parent) not in json.dumps(config)
        assert (id in history) == (resume == "allow")
        entries = history.setdefault(id, [])
        return SimpleNamespace(
            define_metric=lambda *_, **__: None, log=entries.append, finish=lambda: entries.append({"finished": True})
        )

    library = SimpleNamespace(init=init, Settings=dict, Error=RuntimeError, Html=str)
    monkeypatch.setitem(sys.modules, "wandb", library)
    return history


def test_wandb_has_what_the_directory_has(corpus: Corpus, tmp_path: Path, wandb: History) -> None:
    run = train(corpus, **OPTIONS, out=tmp_path, log=["wandb"])
    (history,) = wandb.values()
    rows = [entry for entry in history if "loss" in entry]
    rates = rates_of_rows(run)
    for entry, row in zip(rows, run.metrics, strict=True):
        values = asdict(row) | {"learning_rate": pytest.approx(rates[row.update])}
        assert entry == {name: values[name] for name in values if name != "seconds" and values[name] is not None}
    assert [entry for entry in history if "finished" in entry] == history[-1:]
    samples = [entry for entry in history if "sample" in entry]
    assert [entry["sample"] for entry in samples] == [f"<pre>{escape(sample.text)}</pre>" for sample in run.samples]
    (tmp_path / "text").write_text(corpus.text, "utf-8")
    options = OPTIONS | {"validation": tmp_path / "text"}
    train(tmp_path / "text", **options, out=tmp_path, log=["wandb"], overwrite=True)
    assert len(wandb) == 2  # a new run is a new run of W&B


def test_the_command_and_paths_are_not_sent_to_wandb(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "text").write_text(TEXT, "utf-8")
    options = "--preset reference --max-updates 9 --engine numpy --hidden-size 3 -o run --log wandb"
    command = [sys.executable, "-m", "elman", "train", "text", *options.split()]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"WANDB_MODE": "offline"}, check=True, capture_output=True)
    (file,) = tmp_path.glob("run/wandb/offline-run-*/*.wandb")
    sent = b"".join(path.read_bytes() for path in (file, *file.parent.glob("files/**/*")) if path.is_file())
    assert b"hidden_size" in sent
    for private in (sys.executable, str(tmp_path), "--preset"):
        assert private.encode() not in sent, private


def test_a_resumed_run_without_samples_continues_its_wandb_run(corpus: Corpus, tmp_path: Path, wandb: History) -> None:
    options = OPTIONS | {"sample_every": 0}
    train(corpus, **options, out=tmp_path, log=["wandb"], callback=StopsAt(15))
    train(corpus, out=tmp_path, resume=True)
    (history,) = wandb.values()
    assert not any("sample" in entry for entry in history)


def test_wandb_gets_no_record_twice_from_a_resumed_run(corpus: Corpus, tmp_path: Path, wandb: History) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(9))  # without the logger, which fills in its rows
    train(corpus, out=tmp_path, resume=True, log=["wandb"], callback=StopsAt(15))
    before = checkpoint.read_bytes()
    train(corpus, out=tmp_path, resume=True, callback=StopsAt(28))
    checkpoint.write_bytes(before)  # so that the records in between are covered by no checkpoint
    expected = train(corpus, **OPTIONS)
    assert_same(train(corpus, out=tmp_path, resume=True), expected)
    (history,) = wandb.values()
    rows = [entry["update"] for entry in history if "loss" in entry]
    assert len(rows) == len(set(rows))
    assert set(rows) >= {row.update for row in expected.metrics}
