"""Checkpoints: a run is restored bit for bit, and no other file is accepted."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import elman
from elman.config import Config
from elman.errors import ElmanError
from elman.ngram.model import NgramModel, ngram_tensors
from elman.runs.checkpoint import Checkpoint, load_checkpoint, load_network, serialize_checkpoint
from elman.storage.files import replace_file
from elman.storage.tensors import read_tensors
from elman.text import Corpus
from elman.training.run import make_checkpoint
from support.networks import make_state
from support.state import T, snapshot
from support.tensors import save_tensors
from support.training import network, train


def trained(corpus: Corpus, **options: Any) -> Checkpoint:
    """Return the checkpoint of a network in the middle of an epoch, with moments and a state that are not zero."""
    settings: dict[str, Any] = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "learning_rate": 0.01} | options
    return make_checkpoint(train(corpus, **settings, max_updates=20))


@pytest.fixture
def checkpoint(corpus: Corpus) -> Checkpoint:
    return trained(corpus)


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert (found.config, found.alphabet) == (expected.config, expected.alphabet)
    assert found.corpus_sha256 == expected.corpus_sha256
    assert found.state.seconds == expected.state.seconds
    assert snapshot(found.state) == snapshot(expected.state)


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"dtype": "float64"},
        {"cell": "gru", "layers": 2, "optimizer": "adam", "ema_decay": 0.9},
        {"cell": "lstm", "batch_size": 3, "optimizer": "sgd", "dropout": 0.5},
        {"optimizer": "rmsprop", "validation": 0.25, "validate_every": 3},
        {"cell": "lstm", "layers": 2, "optimizer": "adamw", "batch_size": 2, "ema_decay": 0.9, "validation": 0.25},
        {"cell": "gru", "layers": 2, "optimizer": "muon", "ema_decay": 0.9},
        {"cell": "gru", "optimizer": "adam", "ngram_order": 4, "ema_decay": 0.9, "validation": 0.25},
    ],
    ids=str,
)
def test_a_checkpoint_is_restored_bit_for_bit(corpus: Corpus, tmp_path: Path, recipe: dict[str, Any]) -> None:
    expected = trained(corpus, **recipe)
    assert (expected.best is None) == ("validation" not in recipe)
    replace_file(tmp_path / "c", serialize_checkpoint(expected))
    found, last = load_checkpoint(tmp_path / "c"), load_network(tmp_path / "c")
    assert_same(found, expected)
    assert network(found.best) == network(expected.best)
    assert network(last) == network(expected.last)
    assert (last.config, last.alphabet) == (expected.config, corpus.alphabet)
    arrays = (*found.state.parameters.values(), *found.state.M.values(), found.state.hidden.recurrent)
    assert all(array.flags.writeable for array in arrays)


def test_the_generator_comes_back_with_the_half_that_it_holds(checkpoint: Checkpoint, tmp_path: Path) -> None:
    generator = checkpoint.state.sample_generator
    generator.integers(5, dtype=np.uint32)  # the second half of a 64-bit number is stored for the next call
    replace_file(tmp_path / "c", serialize_checkpoint(checkpoint))
    found = load_checkpoint(tmp_path / "c").state.sample_generator
    for dtype in (np.uint32, np.uint64):
        expected = generator.integers(2**31, size=3, dtype=dtype)
        np.testing.assert_array_equal(found.integers(2**31, size=3, dtype=dtype), expected)


@pytest.mark.parametrize("updates", [0, 20])
@pytest.mark.parametrize("characters", ["\"\\\n\t\0\x1f'{}", "åäö漢字🐈", "\u2028\x85\ufeff", "a\ud800"], ids=ascii)
def test_any_alphabet_comes_back(tmp_path: Path, characters: str, updates: int) -> None:
    corpus = Corpus.from_text(characters * 8)
    expected = trained(corpus)
    if not updates:  # a state before the first update
        state = make_state(len(corpus.alphabet), 3, 0.1, 1, np.float64)
        expected = Checkpoint(Config(hidden_size=3), corpus.alphabet, corpus.sha256, state)
    replace_file(tmp_path / "c", serialize_checkpoint(expected))
    assert_same(load_checkpoint(tmp_path / "c"), expected)


def error_message(path: Path) -> str:
    with pytest.raises(ElmanError) as raised:
        load_checkpoint(path)
    message = str(raised.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


@pytest.fixture
def data(checkpoint: Checkpoint, tmp_path: Path) -> bytes:
    replace_file(tmp_path / "good", serialize_checkpoint(checkpoint))
    return (tmp_path / "good").read_bytes()


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    assert "there is no checkpoint" in error_message(tmp_path / "c")
    (tmp_path / "c").mkdir()
    assert "(Is a directory): pass a run directory" in error_message(tmp_path / "c")


def test_one_altered_byte_anywhere(data: bytes, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    every_part = [*range(40), *generator.integers(len(data), size=400).tolist()]
    for position in every_part:
        altered = bytearray(data)
        altered[position] ^= 1 << int(generator.integers(8))
        (tmp_path / "c").write_bytes(altered)
        assert "cannot be used" in error_message(tmp_path / "c"), position
    (tmp_path / "c").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # a weight
    assert "its contents do not match its SHA-256" in error_message(tmp_path / "c")


def _header(dtype: str) -> bytes:
    """Return a file of numbers that NumPy does not have."""
    size = 2 if dtype == "BF16" else 1
    header = json.dumps({"weight": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


WEIGHT = {"weight": np.zeros((2, 3), np.float32)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not a complete safetensors file"),
        (b"\0" * 100, "it is not a complete safetensors file"),
        (b"It was a dark night.\n" * 50, "it is not a complete safetensors file"),
        (save(WEIGHT, None), "it was not written by Elman"),
        (save(WEIGHT, {"format": "pt"}), "it was not written by Elman"),
        (_header("BF16"), "cannot be used"),
        (_header("F8_E4M3"), "cannot be used"),
    ],
    ids=["empty", "zeros", "text", "another program", "PyTorch", "bfloat16", "float8"],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "c").write_bytes(content)
    assert reason in error_message(tmp_path / "c")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(checkpoint: Checkpoint, tmp_path: Path, value: float) -> None:
    checkpoint.state.parameters["W"][1, 2] = value
    replace_file(tmp_path / "c", serialize_checkpoint(checkpoint))
    assert "(W is not an array of finite float64 values)" in error_message(tmp_path / "c")


ORDER = 4


def trained_with_prior(corpus: Corpus, **options: Any) -> Checkpoint:
    prior = {"cell": "gru", "ngram_order": ORDER, "ngram_folds": 4}
    return trained(corpus, **prior, **options)


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_files_contain_the_table_and_no_text(corpus: Corpus, tmp_path: Path, validation: float) -> None:
    expected = trained_with_prior(corpus, validation=validation)
    replace_file(tmp_path / "c", serialize_checkpoint(expected))
    (tmp_path / "n").write_bytes(expected.selected.serialize())
    found, alone = load_checkpoint(tmp_path / "c"), load_network(tmp_path / "n")
    assert_same(found, expected)
    for path in (tmp_path / "c", tmp_path / "n"):
        names = [name for name in read_tensors(path)[1] if name.startswith("ngram")]
        assert names == [f"ngrams.{name}" for name in ("children", "histogram", "large", "rests", "strings")]
        assert corpus.indices[:12].tobytes() not in path.read_bytes()
    assert expected.state.parameters.ngrams is not None
    for parameters in (found.state.parameters, found.selected.parameters, alone.parameters):
        assert_same_table(parameters.ngrams, expected.state.parameters.ngrams)
    if found.best is not None:
        assert found.best.parameters.ngrams is found.state.parameters.ngrams


def assert_same_table(ngrams: NgramModel | None, expected: NgramModel) -> None:
    assert ngrams is not None
    assert (ngrams.table.spec, ngrams.min_count) == (expected.table.spec, expected.min_count)
    assert ngrams.folds == 0
    tensors, others = ngram_tensors(ngrams), ngram_tensors(expected)
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, others[name])


def altered(corpus: Corpus, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """Return a checkpoint with a prior whose description or tensors were changed, with a matching digest."""
    replace_file(tmp_path / "good", serialize_checkpoint(trained_with_prior(corpus)))
    text, tensors = read_tensors(tmp_path / "good")
    description: dict[str, Any] = json.loads(text)
    change(description, tensors)
    save_tensors(tmp_path / "c", description, tensors)
    return tmp_path / "c"


def change_number(name: str, value: object) -> Callable[[Any, Any], object]:
    return lambda description, _: description["ngrams"].update({name: value})


def change_alpha(*shape: int) -> Callable[[Any, Any], object]:
    return lambda _, tensors: tensors.update(alpha=np.zeros(shape, np.float32))


def change_history(code: int) -> Callable[[Any, Any], object]:
    return lambda _, tensors: tensors["history"].put(-1, code)


SHAPES = "array shapes do not match the configuration"
NODES = "nodes must be an integer from 1"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _, tensors: tensors.pop("ngrams.rests"), "the arrays of its n-gram counts are invalid"),
        (lambda description, _: description.pop("ngrams"), "reads ('ngrams')"),
        (lambda description, _: description["config"].update(ngram_order=0), SHAPES),
        *((change_number("nodes", value), NODES) for value in (0, 1.5, "1", None, 2**70)),
        *((change_number(name, 3), "n-gram counts do not fit one another") for name in ("nodes", "contexts")),
        *((change_alpha(*shape), SHAPES) for shape in ((), (ORDER - 1,), (ORDER + 1,), (ORDER, 1))),
        *((change_history(code), "(the history is not one of characters)") for code in (0, -1, 200)),
        (lambda description, _: description["config"].update(batch_size=2**53), "the history is not one"),
    ],
)
def test_an_invalid_prior(corpus: Corpus, tmp_path: Path, change: Callable[[Any, Any], object], reason: str) -> None:
    assert reason in error_message(altered(corpus, tmp_path, change))


def test_the_package_neither_pickles_nor_evaluates() -> None:
    forbidden = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "eval", "exec", "allow_pickle"}
    graded = {"faults.py", "grading.py"}  # whose job is to run the code of the solution and of a submission
    package = Path(elman.__file__).parent
    for source in package.rglob("*.py"):
        allowed = {"exec"} if source.parent == package / "apps" / "course" and source.name in graded else set()
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            assert not names(node) & (forbidden - allowed), f"{source}, line {getattr(node, 'lineno', 0)}"


def names(node: ast.AST) -> set[str]:
    """Return the names that a node imports, calls or passes by keyword."""
    match node:
        case ast.Import():
            return {alias.name.partition(".")[0] for alias in node.names}
        case ast.ImportFrom():
            return {(node.module or "").partition(".")[0], *(alias.name for alias in node.names)}
        case ast.Call(func=ast.Name(id=name)):
            return {name}
        case ast.keyword(arg=str(name)):
            return {name}
    return set()
