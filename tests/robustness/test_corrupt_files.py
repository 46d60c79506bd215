"""Untrusted files are read without executing anything, without much memory, and refused in one line."""

import json
import os
import random
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.cli.frame import INSTALLED
from elman.errors import ElmanError
from elman.formats import ModelInfo
from elman.formats.page import pack_model
from elman.model.loading import load
from elman.ngram.model import PREFIX
from elman.runs.directory import CHECKPOINT, RunDirectory
from elman.runs.plots import LossCurve
from elman.storage.tensors import read_tensors
from elman.text import Corpus
from fuzz import CORPUS
from support.corrupt_files import (
    CONSTANT,
    FILES,
    MULTIPLE,
    RECIPES,
    corrupt_file,
    error_message,
    good_files,
    peak,
    use_file,
)
from support.fuzz_targets import TARGETS, feed, mutate
from support.state import TEXT
from support.tensors import save_tensors
from support.training import train


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bytes]]:
    return [(path, path.read_bytes()) for path in good_files(tmp_path_factory.mktemp("good"))]


def outcome(path: Path) -> str:
    return error_message(lambda: read(path))


def read(path: Path) -> None:
    with np.errstate(all="ignore"):
        use_file(path)
    if path.name == CHECKPOINT:
        train(Corpus.from_text(TEXT), out=path.parent, resume=True)


def show(folder: Path) -> None:
    """Read a run as `elman runs`, `elman plot`, `elman serve` and `elman view` do."""
    elman.list_runs(folder)
    error_message(lambda: LossCurve.of_directory(RunDirectory(folder)).points("train_loss"))
    if "serve" in INSTALLED:
        _serve(folder)


def _serve(folder: Path) -> None:
    from elman.apps.dashboard.runs import DashboardRun
    from elman.apps.serve.models import load_models
    from elman.apps.serve.requests import create_request_types
    from elman.apps.serve.responses import dump_json
    from elman.apps.serve.settings import Settings

    for model in [] if error_message(partial(load_models, [folder])) else load_models([folder]).values():
        create_request_types({"model": model}, Settings())
        error_message(partial(pack_model, model, ModelInfo("model", model.snapshot()), weights="float32"))
    run = DashboardRun(folder)
    dump_json([run.about(), run.history.as_dict(), run.status(), run.histograms()])


@contextmanager
def copied_run(path: Path, folder: Path) -> Iterator[Path]:
    """Yield where to put a corrupt file: in a copy of its run, which is restored afterwards."""
    copy = folder / path.parent.name
    if not copy.exists():
        shutil.copytree(path.parent, copy)
    yield copy / path.name
    changed = FILES if path.name == CHECKPOINT else [path.name]  # a valid checkpoint is trained further
    for name in changed:
        (copy / name).unlink(missing_ok=True)
        if (path.parent / name).exists():
            shutil.copyfile(path.parent / name, copy / name)


@pytest.mark.parametrize("number", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_corrupt_files_are_rejected_in_one_line(good: list[tuple[Path, bytes]], tmp_path: Path, number: int) -> None:
    refused = 0
    for seed in range(number):
        rng = random.Random(seed)
        path, data = rng.choice(good)
        truncate = rng.random() < 0.1
        with copied_run(path, tmp_path) as corrupt:
            if truncate:  # by at least two bytes, since the last one may be an optional line feed
                corrupt.write_bytes(data[: rng.randrange(len(data) - 1)])
            else:
                corrupt_file(path, data, rng, corrupt)
            try:
                message = outcome(corrupt)
                if number > 1_000 or seed % 4 == 0:  # as slow as four loaders
                    error_message(partial(show, corrupt.parent))
                # Complete lines are a complete file.
                assert message or not truncate or path.suffix in (".csv", ".jsonl")
            except BaseException as error:
                error.add_note(f"seed {seed}, {path}")
                raise
        refused += bool(message)
    assert refused > number / 2


@pytest.fixture
def run(good: list[tuple[Path, bytes]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(good[-1][0].parent, tmp_path / "run"))


def refusal_with(path: Path, *changes: tuple[str, Any]) -> str:
    """Change values in the description of an otherwise valid checkpoint; return its error."""
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
        ("config.hidden_size", 10**9, "array shapes do not match the configuration"),
        ("config.layers", 10**9, "too few arrays for 1000000000 layers"),
        ("config.batch_size", 10**9, "array shapes do not match the configuration"),
        ("config.hidden_size", 10**30, "hidden_size must be at most 9007199254740992"),
        ("config.hidden_size", "2", "hidden_size must be an integer"),
        ("config.cell", "lstm", "array shapes do not match the configuration"),
        ("config.optimizer", "adam", "array shapes do not match the configuration"),
        ("config.ema_decay", 0.9, "array shapes do not match the configuration"),
        ("config.layers", 2, "array shapes do not match the configuration"),
        ("config.dtype", "float32", "is not an array of finite float32 values"),
        ("config.learning_rate", float("nan"), "NaN is not valid JSON"),
        ("alphabet", "ab", "array shapes do not match the configuration"),
        ("alphabet", ["a"], "alphabet must be a string"),
        ("alphabet", "a" * 26, "an alphabet must contain each character once"),
        ("state.update", -1, "update must be an integer from 0 to"),
        ("state.update", 1.0, "update must be an integer from 0 to"),
        ("state.update", 2**63, "update must be an integer from 0 to"),
        ("state.minimum_at", 12, "minimum_at is later than the update of the state"),
        ("state.smooth_loss", "1", "smooth_loss must be a finite number"),
        ("best.update", 12, "the best network is from a later update than the state"),
        ("best.validation_loss", None, "validation_loss must be a finite number"),
        ("best", None, "array shapes do not match the configuration"),
        ("corpus_sha256", "0" * 64, "was trained on another text"),
        ("corpus_sha256", 1, "the SHA-256 of the text must be a string"),
        ("corpus_sha256", "\x1b[2J", "the SHA-256 of the text must have 64"),
        ("config.cell", "\x1b[2J", r"\x1b[2J"),
        ("format", 2, "was written by a version of Elman before 0.3.0 (format 2): use that version, or train again"),
        ("format", 3, "was written by a newer version of Elman (format 3): update Elman"),
        ("sample_generator.bit_generator", "MT19937", "state must be for a PCG64"),
        ("sample_generator.uinteger", 2**32, "too large to convert"),
        ("state.position", 10**9, "a run is at character 55 of epoch 0, but the checkpoint is at 1000000000"),
        ("state.epoch", 7, "but the checkpoint is at 55 of epoch 7"),
    ],
)
def test_a_checkpoint_that_contradicts_itself(run: Path, key: str, value: Any, reason: str) -> None:
    assert reason in refusal_with(run / CHECKPOINT, (key, value))


def test_a_duplicate_key(run: Path) -> None:
    text = (run / "run.json").read_text(encoding="utf-8")
    (run / "run.json").write_text(text.replace('"alphabet":', '"alphabet": "ab", "alphabet":', 1), encoding="utf-8")
    assert "(it contains a duplicate key)" in outcome(run / "run.json")


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("samples.jsonl", '{"update": -1, "smooth_loss": null, "text": ""}\n', "update must be an integer"),
        ("samples.jsonl", '{"update": true, "smooth_loss": 1, "text": ""}\n', "update must be an integer"),
        ("samples.jsonl", '{"update": 1, "smooth_loss": 1e999, "text": ""}\n', "a number exceeds the range of float64"),
        ("samples.jsonl", '{"update": 1, "smooth_loss": Infinity, "text": ""}\n', "Infinity is not valid JSON"),
        ("samples.jsonl", '{"update": 1, "smooth_loss": 1, "text": 1}\n', "text must be a string"),
        ("samples.jsonl", "[" * 100_000 + "\n", "it is nested too deeply"),
        ("samples.jsonl", "[1]\n", "cannot be read as samples.jsonl ("),
        ("samples.jsonl", '{"update": 1}\n', "cannot be read as samples.jsonl ("),
        ("metrics.csv", "1" * 200_000 + "\n", "cannot be read as metrics.csv ("),
        ("metrics.csv", "-1,0,1,1,1,,1,1,1\n", "update must be an integer"),
        ("metrics.csv", f"{10**30},0,1,1,1,,1,1,1\n", "update must be an integer"),
        ("metrics.csv", "1,0,nan,1,1,,1,1,1\n", "smooth_loss must be a finite number"),
        ("metrics.csv", "1,0,1,inf,1,,1,1,1\n", "loss must be a finite number"),
        ("metrics.csv", "1,0,1,1,1,,1,1\n", "a row does not have as many fields as the header"),
        ("metrics.csv", "1,0,1,1,1,,1,1,1,1\n", "a row does not have as many fields as the header"),
        ("metrics.csv", "1,0,1,1,,,1,1,1\n", "missing 1 required positional argument: 'train_loss'"),
    ],
    ids=range(16),
)
def test_a_record_that_is_none(run: Path, name: str, line: str, reason: str) -> None:
    with (run / name).open("a", encoding="utf-8") as file:
        file.write(line)
    assert reason in outcome(run / name)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_largest_weights_generate_text(
    good: list[tuple[Path, bytes]], tmp_path: Path, recipe: dict[str, Any], engine: str
) -> None:
    """Overflow never leads to an invalid index: what is sampled is still a character."""
    runs = good[0][0].parents[1]
    path = Path(shutil.copy(runs / str(RECIPES.index(recipe)) / CHECKPOINT, tmp_path))
    text, tensors = read_tensors(path)
    signs = np.random.default_rng(1)
    for name in [name for name in tensors if not name.startswith((PREFIX, "history"))]:
        largest = 0.9 * np.finfo(tensors[name].dtype).max if tensors[name].dtype.kind == "f" else 3e38
        tensors[name] = (largest * signs.choice([-1, 1], tensors[name].shape)).astype(tensors[name].dtype)
    save_tensors(path, json.loads(text), tensors)
    model = load(path, engine=engine)
    with np.errstate(all="ignore"):
        for temperature in (0.0, 1e-9, 1.0):
            assert set(model.sample(20, temperature=temperature, seed=1)) <= set(TEXT)
            assert set(model.sample(20, temperature=temperature, seed=1, top_k=2, top_p=0.5)) <= set(TEXT)
        with pytest.raises(ElmanError, match="output of this network is not finite"):
            model.score(TEXT)


@pytest.mark.parametrize("name", [CHECKPOINT, "best.safetensors"])
@pytest.mark.parametrize("array", ["strings", "children"])
def test_counts_that_are_no_trie(good: list[tuple[Path, bytes]], tmp_path: Path, array: str, name: str) -> None:
    path = tmp_path / name
    text, tensors = read_tensors(good[0][0].parents[1] / "2" / name)
    tensors[PREFIX + array] = -1 - tensors[PREFIX + array]
    save_tensors(path, json.loads(text), tensors)
    assert "its n-gram counts are not a trie" in outcome(path)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_and_a_device_are_not_waited_for(run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "Not a regular file" in outcome(run / name)
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert "Not a regular file" in outcome(run / name)


BOMBS: dict[str, tuple[str, bytes]] = {
    "nested": ("run.json", b"[" * 1_000_000),
    "lists of lists": ("run.json", b"[" + (b"[" * 60 + b"]" * 60 + b",") * 8_000 + '"😀"]'.encode()),
    "small values": ("run.json", b"[" + b"[],{}," * 60_000 + b"0]"),
    "rows": (
        "metrics.csv",
        b"update,epoch,smooth_loss,loss,train_loss,validation_loss,seconds,chars_per_second,learning_rate\n"
        + b"1,1,1,1,1,,1,1,1\n" * 30_000,
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
    refusal_with(path, (f"config.{setting}", 10**9))
    assert peak(partial(outcome, path)) < MULTIPLE * path.stat().st_size + CONSTANT


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_of_the_fuzzer_are_read_or_rejected(name: str, tmp_path: Path) -> None:
    if name in ("onnx", "request"):
        pytest.importorskip({"request": "pydantic"}.get(name, name))
    refused = [bool(feed(TARGETS[name], path.read_bytes(), tmp_path)) for path in sorted((CORPUS / name).iterdir())]
    assert 0 < sum(refused) < len(refused)


def restart_peak() -> int:
    """Return the peak of the resident set in kB, after it is set to the present size where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("number", [30, pytest.param(1_500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_read_or_rejected(name: str, number: int, tmp_path: Path) -> None:
    if name in ("onnx", "request"):
        pytest.importorskip({"request": "pydantic"}.get(name, name))
    target, before = TARGETS[name], restart_peak()
    inputs = [*target.seeds(tmp_path), *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]
    for seed in range(number):
        rng, began = random.Random(seed), time.process_time()
        data = mutate(target, rng.choice(inputs), rng)
        try:
            feed(target, data, tmp_path)
            assert time.process_time() - began < 20
        except BaseException as error:
            error.add_note(f"seed {seed}, {data[:500]!r}")
            raise
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1_000_000
