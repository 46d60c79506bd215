"""Files that a stranger made: read without running anything, without much memory, and refused in one line."""

import json
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError
from elman.runs.checkpoint import load_checkpoint, load_network
from elman.runs.records import CHECKPOINT, RunDirectory
from elman.runs.run import load
from elman.storage.tensors import read_tensors, save_tensors
from elman.text import Corpus
from elman.training.train import train
from support.corrupt_files import FILES, RECIPES, good_files, peak, refusal, spoil
from support.state import TEXT

MULTIPLE, CONSTANT = 40, 2_000_000
"""The most memory, of a file's size and in bytes besides, that reading it takes."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bytes]]:
    """The files of good runs, and their bytes."""
    return [(path, path.read_bytes()) for path in good_files(tmp_path_factory.mktemp("good"))]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else."""
    monkeypatch.setattr("elman.training.train.save_figure", lambda figure, path: None)


def outcome(path: Path) -> str:
    """Read a file as its name says; return the one line it is refused with, or nothing."""
    return refusal(lambda: read(path))


def read(path: Path) -> None:
    """Read a file as the commands do, and use what it holds."""
    directory = RunDirectory(path.parent)
    match path.name:
        case "metrics.csv":
            directory.metrics()
        case "samples.jsonl":
            directory.samples()
        case "run.json":
            directory.beginning()
        case _:
            load_network(path)
            with np.errstate(all="ignore"):
                load(path, engine="numpy").sample(5, seed=1)
            if path.name == CHECKPOINT:
                load_checkpoint(path)
                train(Corpus.from_text(TEXT), out=path.parent, resume=True)


def keep_company(path: Path, folder: Path) -> Path:
    """Return where a spoilt file is put: among the good ones of its run, without what an earlier one left."""
    folder.mkdir(exist_ok=True)
    for other in FILES:
        if (path.parent / other).exists():
            (folder / other).write_bytes((path.parent / other).read_bytes())
    return folder / path.name


def try_spoilt(good: list[tuple[Path, bytes]], folder: Path, number: int) -> None:
    refused = 0
    for seed in range(number):
        chance = random.Random(seed)
        path, data = chance.choice(good)
        spoilt = keep_company(path, folder)
        spoil(path, data, chance, spoilt)
        try:
            refused += bool(outcome(spoilt))
        except BaseException as error:
            error.add_note(f"seed {seed}, {path}")
            raise
    assert refused > number / 2


def try_truncated(good: list[tuple[Path, bytes]], folder: Path, number: int) -> None:
    chance = random.Random(number)
    for _ in range(number):
        path, data = chance.choice(good)
        truncated = keep_company(path, folder)
        # Of two bytes at least, for the last may be a line feed that nothing needs.
        truncated.write_bytes(data[: chance.randrange(len(data) - 1)])
        message = outcome(truncated)
        assert message or path.suffix in (".csv", ".jsonl")  # whole lines are a whole file


def test_spoilt_files_are_refused_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    try_spoilt(good, tmp_path, 2_000)


def test_truncated_files_are_refused_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    try_truncated(good, tmp_path, 200)


@pytest.mark.slow
def test_many_spoilt_files_are_refused_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    try_spoilt(good, tmp_path, 20_000)


@pytest.mark.slow
def test_many_truncated_files_are_refused_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path) -> None:
    try_truncated(good, tmp_path, 2_000)


# --- A checkpoint that says what cannot be ---


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run with a text kept aside, to be spoilt."""
    good_files(tmp_path)
    return tmp_path / str(len(RECIPES) - 1)


def says(path: Path, *changes: tuple[str, Any]) -> str:
    """Let a checkpoint say something else, in all order but for that; return what it is refused with."""
    text, tensors = read_tensors(path)
    description = json.loads(text)
    for key, value in changes:
        *parents, last = key.split(".")
        inner = description
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    save_tensors(path, description, tensors)
    return outcome(path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("config.hidden_size", 10**9, "arrays of other shapes than the configuration's"),
        ("config.layers", 10**9, "fewer arrays than 1000000000 layers have"),
        ("config.batch_size", 10**9, "arrays of other shapes than the configuration's"),
        ("config.hidden_size", 10**30, "hidden_size is no whole number from 0 to"),
        ("config.hidden_size", "2", "--hidden-size must be a whole number"),
        ("config.cell", "lstm", "arrays of other shapes than the configuration's"),
        ("config.learning_rate", float("nan"), "NaN is no number of JSON"),
        ("alphabet", "ab", "arrays of other shapes than the configuration's"),
        ("alphabet", ["a"], "alphabet is no text"),
        ("alphabet", "a" * 26, "an alphabet holds each character once"),
        ("counters.update", -1, "update is no whole number from 0 to"),
        ("counters.update", 1.0, "update is no whole number from 0 to"),
        ("counters.update", 2**63, "update is no whole number from 0 to"),
        ("counters.minimum_at", 12, "the minimum is at an update that is not done"),
        ("figures.smooth_loss", "1", "smooth_loss is no finite number"),
        ("best.update", 12, "the best network is of an update that is not done"),
        ("best.validation_loss", None, "validation_loss is no finite number"),
        ("best", None, "arrays of other shapes than the configuration's"),
        ("corpus_sha256", 1, "the SHA-256 of the text is no text"),
        ("corpus_sha256", "\x1b[2J", "the SHA-256 of the text is none"),
        ("config.cell", "\x1b[2J", r"and \x1b[2J came"),
        ("format", 3, "format 3, and this Elman reads 1 and 2"),
        ("initial_generator.state.pos", 10**6, "the position in the key is no whole number from 0 to 624"),
        ("initial_generator.state.pos", -1, "the position in the key is no whole number from 0 to 624"),
        ("initial_generator.state.key", [0] * 623, "the key of a generator has not 624 words"),
        ("initial_generator.state.key", [2**32] * 624, "a word of the key is no whole number from 0 to"),
        ("initial_generator.bit_generator", "PCG64", "the first generator is another than MT19937"),
        ("sample_generator.state.inc", 2, "the increment of a generator is even"),
        ("sample_generator.uinteger", 2**32, "uinteger is no whole number from 0 to"),
        ("counters.position", 10**9, "a run is at character 55 of a stream, and the checkpoint says 1000000000"),
        ("counters.epoch", 7, "and the checkpoint says 55 in epoch 7"),
    ],
)
def test_a_checkpoint_that_contradicts_itself(run: Path, key: str, value: Any, reason: str) -> None:
    assert reason in says(run / CHECKPOINT, (key, value))


def test_a_text_of_another_length_is_noticed_by_its_hash(run: Path) -> None:
    assert "was trained on another text" in says(run / CHECKPOINT, ("corpus_sha256", "0" * 64))


def test_a_key_that_stands_twice(run: Path) -> None:
    text = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(text.replace('"alphabet":', '"alphabet": "ab", "alphabet":', 1), encoding="utf-8")
    assert "(a key stands in it twice)" in outcome(run / "run.json")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"update": -1, "smooth_loss": null, "text": ""}', "update is no whole number"),
        ('{"update": 1, "smooth_loss": 1e999, "text": ""}', "a number is beyond float64"),
        ('{"update": 1, "smooth_loss": Infinity, "text": ""}', "Infinity is no number of JSON"),
        ('{"update": 1, "smooth_loss": 1, "text": 1}', "text is no text"),
        ('{"update": true, "smooth_loss": 1, "text": ""}', "update is no whole number"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_sample_that_is_none(run: Path, line: str, reason: str) -> None:
    (run / "samples.jsonl").write_text(line[:-1] if reason.startswith("[") else line + "\n", encoding="utf-8")
    assert reason in outcome(run / "samples.jsonl")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("-1,0,1,1,,1,1", "update is no whole number"),
        (f"{10**30},0,1,1,,1,1", "update is no whole number"),
        ("1,0,nan,1,,1,1", "smooth_loss is no finite number"),
        ("1,0,1,inf,,1,1", "loss is no finite number"),
        ("1,0,1,1,,1", "a row has not as many fields as the header"),
        ("1,0,1,1,,1,1,1", "a row has not as many fields as the header"),
    ],
)
def test_a_row_that_is_none(run: Path, row: str, reason: str) -> None:
    with (run / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write(row + "\n")
    assert reason in outcome(run / "metrics.csv")


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_largest_weights_are_no_harm(tmp_path: Path, recipe: dict[str, Any], engine: str) -> None:
    """Kernels take what is in a file for indices nowhere: what overflows is still a character."""
    good_files(tmp_path)
    path = tmp_path / str(RECIPES.index(recipe)) / CHECKPOINT
    text, tensors = read_tensors(path)
    signs = np.random.default_rng(1)
    for name in tensors:
        tensors[name] = (3e38 * signs.choice([-1, 1], tensors[name].shape)).astype(np.float32)
    save_tensors(path, json.loads(text), tensors)
    model = load(path, engine=engine)
    with np.errstate(all="ignore"):
        for temperature in (0.0, 1e-9, 1.0):
            assert set(model.sample(20, temperature=temperature, seed=1)) <= set(TEXT)
            assert set(model.sample(20, temperature=temperature, seed=1, top_k=2, top_p=0.5)) <= set(TEXT)
        with pytest.raises(ElmanError, match="output of this network is not finite"):
            model.score(TEXT)


# --- What never ends, and what would not fit ---


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_and_a_device_are_not_waited_for(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "No regular file" in outcome(run / name)
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert "No regular file" in outcome(run / name)


BOMBS: dict[str, tuple[str, bytes]] = {
    "nested": ("run.json", b"[" * 1_000_000),
    "small values": ("run.json", b"[" + b"[],{}," * 200_000 + b"0]"),
    "rows": (
        "metrics.csv",
        b"update,epoch,smooth_loss,loss,validation_loss,seconds,chars_per_second\n" + b"1,1,1,1,,1,1\n" * 100_000,
    ),
    "columns": ("metrics.csv", b"a," * 500_000 + b"\n" + b"1," * 500_000 + b"\n"),
    "lines": ("samples.jsonl", b'{"update":0,"smooth_loss":1,"text":""}\n' * 30_000),
    "line": ("samples.jsonl", b'{"update":0,"smooth_loss":1,"text":"' + b"\\n" * 500_000 + b'"}\n'),
    "claims": (
        "run.json",
        b'{"config": {"hidden_size": 1000000000, "layers": 1000000000}, "alphabet": "ab", "corpus": {"sha256": ""}}',
    ),
    "header": (CHECKPOINT, (2**62).to_bytes(8, "little") + b"{}" * 100_000),
    "shape": (CHECKPOINT, (0).to_bytes(8, "little") + b"{}" * 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_reading_takes_a_small_multiple_of_the_file(run: Path, name: str) -> None:
    file, data = BOMBS[name]
    (run / file).write_bytes(data)
    assert peak(partial(outcome, run / file)) < MULTIPLE * len(data) + CONSTANT


@pytest.mark.parametrize("setting", ["hidden_size", "layers", "batch_size", "seq_length", "sample_length"])
def test_what_a_checkpoint_claims_is_not_allocated(run: Path, setting: str) -> None:
    path = run / CHECKPOINT
    says(path, (f"config.{setting}", 10**9))
    assert peak(partial(outcome, path)) < MULTIPLE * path.stat().st_size + CONSTANT
