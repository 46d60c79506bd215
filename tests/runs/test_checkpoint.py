"""Checkpoints: a run is restored bit for bit, and no other file is accepted."""

import ast
import json
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import elman
from elman.config import Config
from elman.engine import TrainState
from elman.errors import ElmanError, quote
from elman.runs.checkpoint import (
    NGRAM_TEXT,
    Checkpoint,
    NetworkSnapshot,
    load_checkpoint,
    load_network,
    save_checkpoint,
    save_network,
)
from elman.storage.atomic import replace_file
from elman.storage.tensors import read_tensors, save_tensors
from elman.storage.untrusted import MAX_INT
from elman.text import Corpus
from support.state import TEXT, T, snapshot
from support.training import network, train


@pytest.fixture
def checkpoint(corpus: Corpus) -> Checkpoint:
    """A network in the middle of an epoch, with moments and a state that are not zero."""
    return trained(corpus, "float32")


def trained(corpus: Corpus, dtype: str) -> Checkpoint:
    return train(corpus, hidden_size=3, seq_length=T, engine="numpy", dtype=dtype, max_updates=20).checkpoint


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert (found.config, found.alphabet) == (expected.config, expected.alphabet)
    assert found.corpus_sha256 == expected.corpus_sha256
    assert found.state.seconds == expected.state.seconds
    assert snapshot(found.state) == snapshot(expected.state)


# --- Saving and loading ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_is_restored_bit_for_bit(corpus: Corpus, tmp_path: Path, dtype: str) -> None:
    expected = trained(corpus, dtype)
    save_checkpoint(tmp_path / "c", expected)
    assert_same(load_checkpoint(tmp_path / "c"), expected)


@pytest.mark.parametrize(
    "recipe",
    [
        {"cell": "gru", "layers": 2, "optimizer": "adam", "ema_decay": 0.9},
        {"cell": "lstm", "batch_size": 3, "optimizer": "sgd", "dropout": 0.5},
        {"optimizer": "rmsprop", "validation": 0.25, "validate_every": 3},
        {"cell": "lstm", "layers": 2, "optimizer": "adamw", "batch_size": 2, "ema_decay": 0.9, "validation": 0.25},
        {"cell": "gru", "layers": 2, "optimizer": "muon", "ema_decay": 0.9},
        {"cell": "gru", "optimizer": "adam", "ngram_order": 3, "ema_decay": 0.9, "validation": 0.25},
    ],
    ids=str,
)
def test_a_checkpoint_of_any_kind_of_run_is_restored_bit_for_bit(
    corpus: Corpus, tmp_path: Path, recipe: dict[str, Any]
) -> None:
    options = recipe | {"hidden_size": 3, "seq_length": T, "engine": "numpy", "learning_rate": 0.01}
    run = train(corpus, **options, max_updates=20)
    assert (run.best is None) == ("validation" not in recipe)
    save_checkpoint(tmp_path / "c", run.checkpoint)
    found = load_checkpoint(tmp_path / "c")
    assert_same(found, run.checkpoint)
    assert network(found.best) == network(run.best)
    last = load_network(tmp_path / "c")
    assert network(last.network) == network(NetworkSnapshot.of(run.state))
    assert (last.config, last.alphabet) == (run.config, corpus.alphabet)


def test_a_file_of_format_1_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new", checkpoint)
    text, tensors = read_tensors(tmp_path / "new")
    description = json.loads(text)
    settings = [
        "cell",
        "hidden_size",
        "layers",
        "seq_length",
        "batch_size",
        "optimizer",
        "learning_rate",
        "clip",
        "init_std",
        "epochs",
        "max_updates",
        "max_seconds",
        "validation",
        "random_state",
        "engine",
        "dtype",
        "sample_every",
        "sample_length",
        "metrics_every",
        "encoding",
    ]
    description["config"] = {name: description["config"][name] for name in settings}
    del description["best"]
    save_tensors(tmp_path / "old", description | {"format": 1}, tensors)
    assert_same(load_checkpoint(tmp_path / "old"), checkpoint)
    assert network(load_network(tmp_path / "old").network) == network(NetworkSnapshot.of(checkpoint.state))


def test_a_network_is_restored_bit_for_bit(checkpoint: Checkpoint, tmp_path: Path) -> None:
    expected = NetworkSnapshot.of(checkpoint.state, 1.25)
    save_network(tmp_path / "n", checkpoint, expected)
    found = load_network(tmp_path / "n")
    assert network(found.network) == network(expected)
    assert (found.config, found.alphabet) == (checkpoint.config, checkpoint.alphabet)


def test_a_network_of_other_shapes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    other = replace(checkpoint, config=replace(checkpoint.config, cell="gru"))
    save_network(tmp_path / "n", other, NetworkSnapshot.of(checkpoint.state, 1.25))
    with pytest.raises(ElmanError, match=r"\(array shapes do not match the configuration\)"):
        load_network(tmp_path / "n")


@pytest.mark.parametrize(
    "change", [{"optimizer": "adam"}, {"ema_decay": 0.9}, {"cell": "lstm"}, {"layers": 2}, {"batch_size": 2}], ids=str
)
def test_arrays_that_a_recipe_needs_or_has_not(checkpoint: Checkpoint, tmp_path: Path, change: dict[str, Any]) -> None:
    save_checkpoint(tmp_path / "c", replace(checkpoint, config=replace(checkpoint.config, **change)))
    assert "(array shapes do not match the configuration)" in error_message(tmp_path / "c")


def test_a_state_before_the_first_update_comes_back(corpus: Corpus, tmp_path: Path) -> None:
    state = TrainState.initial(len(corpus.alphabet), 3, 0.1, 1, np.float32)
    expected = Checkpoint(Config(hidden_size=3), corpus.alphabet, corpus.sha256, state)
    save_checkpoint(tmp_path / "c", expected)
    found = load_checkpoint(tmp_path / "c")
    assert np.isnan([found.state.smooth_loss, found.state.minimum_smooth_loss]).all()
    assert_same(found, expected)


def test_generators_come_back_with_the_half_they_hold(checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = checkpoint.state
    state.initial_generator.randn()  # the second number of a pair is stored for the next call
    state.sample_generator.integers(5, dtype=np.uint32)  # so is the second half of a 64-bit number
    save_checkpoint(tmp_path / "c", checkpoint)
    found = load_checkpoint(tmp_path / "c").state
    assert found.initial_generator.randn() == state.initial_generator.randn()
    for dtype in (np.uint32, np.uint64):
        expected = state.sample_generator.integers(2**31, size=3, dtype=dtype)
        np.testing.assert_array_equal(found.sample_generator.integers(2**31, size=3, dtype=dtype), expected)


@pytest.mark.parametrize("characters", ["\"\\\n\t\0\x1f'{}", "åäö漢字🐈", "\u2028\x85\ufeff", "a\ud800"], ids=ascii)
def test_any_alphabet_comes_back(tmp_path: Path, characters: str) -> None:
    expected = trained(Corpus.from_text(characters * 8), "float32")
    save_checkpoint(tmp_path / "c", expected)
    assert_same(load_checkpoint(tmp_path / "c"), expected)


def test_what_is_loaded_can_be_trained_on(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", checkpoint)
    state = load_checkpoint(tmp_path / "c").state
    assert all(array.flags.writeable for array in (*state.parameters.values(), *state.M.values(), state.h))


# --- Other files ---


def error_message(path: Path) -> str:
    """Return the one-line error with which a file is rejected."""
    with pytest.raises(ElmanError) as raised:
        load_checkpoint(path)
    message = str(raised.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    return message


@pytest.fixture
def data(checkpoint: Checkpoint, tmp_path: Path) -> bytes:
    """The bytes of a valid file."""
    save_checkpoint(tmp_path / "good", checkpoint)
    return (tmp_path / "good").read_bytes()


def test_a_missing_file(tmp_path: Path) -> None:
    expected = f"there is no checkpoint {quote(tmp_path / 'c')}: pass a run directory written by elman train"
    assert error_message(tmp_path / "c") == expected


def test_a_truncated_file(data: bytes, tmp_path: Path) -> None:
    for length in [*range(20), *range(20, len(data), 97), len(data) - 1]:
        (tmp_path / "c").write_bytes(data[:length])
        message = error_message(tmp_path / "c")
        assert "it is not a complete safetensors file; restore a backup or train again" in message, length


def test_a_file_with_bytes_too_many(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(data + b"\0")
    assert "cannot be used" in error_message(tmp_path / "c")


def test_one_altered_byte_anywhere(data: bytes, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    every_part = [*range(40), *generator.integers(len(data), size=400).tolist(), len(data) - 1]
    for position in every_part:
        altered = bytearray(data)
        altered[position] ^= 1 << int(generator.integers(8))
        (tmp_path / "c").write_bytes(altered)
        assert "cannot be used" in error_message(tmp_path / "c"), position


def test_an_altered_weight_is_noticed_by_its_digest(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "its contents do not match its SHA-256" in error_message(tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"It was a dark night.\n" * 50], ids=["empty", "zeros", "text"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    assert "it is not a complete safetensors file" in error_message(tmp_path / "c")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_of_another_program(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    (tmp_path / "c").write_bytes(save({"weight": np.zeros((2, 3), np.float32)}, metadata))
    assert "it was not written by Elman" in error_message(tmp_path / "c")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_a_file_with_numbers_that_numpy_has_not(tmp_path: Path, dtype: str) -> None:
    size = 2 if dtype == "BF16" else 1
    header = json.dumps({"weight": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}).encode()
    (tmp_path / "c").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    assert "cannot be used" in error_message(tmp_path / "c")


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    assert "(Is a directory): pass a run directory" in error_message(tmp_path / "c")


def test_a_format_that_is_not_known(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("elman.inference.network_file.FORMAT", 3)
        save_checkpoint(tmp_path / "c", checkpoint)
    assert "(format 3, but this version reads 1 and 2)" in error_message(tmp_path / "c")


def test_arrays_of_other_shapes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", replace(checkpoint, config=replace(checkpoint.config, hidden_size=4)))
    assert "(array shapes do not match the configuration)" in error_message(tmp_path / "c")


def test_arrays_of_another_width(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", replace(checkpoint, config=replace(checkpoint.config, dtype="float64")))
    assert "is not an array of finite float64 values" in error_message(tmp_path / "c")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(checkpoint: Checkpoint, tmp_path: Path, value: float) -> None:
    checkpoint.state.parameters["W"][1, 2] = value
    save_checkpoint(tmp_path / "c", checkpoint)
    assert "(W is not an array of finite float32 values)" in error_message(tmp_path / "c")


# --- The n-gram prior ---

ORDER = 3


def trained_with_prior(corpus: Corpus, **options: Any) -> Checkpoint:
    prior: dict[str, Any] = {"ngram_order": ORDER, "ngram_discount": 0.8, "ngram_folds": 4}
    settings: dict[str, Any] = {"cell": "gru", "hidden_size": 3, "seq_length": T, "engine": "numpy"} | prior | options
    return train(corpus, **settings, max_updates=20).checkpoint


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_the_counted_text_is_stored_once(corpus: Corpus, tmp_path: Path, validation: float) -> None:
    expected = trained_with_prior(corpus, validation=validation)
    save_checkpoint(tmp_path / "c", expected)
    save_network(tmp_path / "n", expected, expected.selected)
    found, alone = load_checkpoint(tmp_path / "c"), load_network(tmp_path / "n")
    assert_same(found, expected)
    assert [name for name in read_tensors(tmp_path / "c")[1] if name.startswith("ngram")] == [NGRAM_TEXT]
    border = len(corpus.indices) - round(validation * len(corpus.indices))
    for parameters in (found.state.parameters, found.selected.parameters, alone.network.parameters):
        ngrams = parameters.ngrams
        assert ngrams is not None
        np.testing.assert_array_equal(ngrams.text, corpus.indices[:border])
        assert (ngrams.K, ngrams.order, ngrams.discount) == (len(corpus.alphabet), ORDER, 0.8)
        assert (ngrams.folds, ngrams.offset) == (4, 0)
    if found.best is not None:
        assert found.best.parameters.ngrams is found.state.parameters.ngrams


def test_the_offset_of_a_long_text_is_stored(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.network.ngram.count_training_text.__defaults__", (30,))
    expected = trained_with_prior(corpus)
    save_checkpoint(tmp_path / "c", expected)
    save_network(tmp_path / "n", expected, expected.selected)
    last = corpus.indices[-30:]
    for parameters in (
        load_checkpoint(tmp_path / "c").state.parameters,
        load_network(tmp_path / "n").network.parameters,
    ):
        assert parameters.ngrams is not None
        assert parameters.ngrams.offset == len(corpus.indices) - 30
        np.testing.assert_array_equal(parameters.ngrams.text, last)


def altered(corpus: Corpus, tmp_path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """Return a checkpoint with a prior whose description or tensors were changed, with a matching digest."""
    save_checkpoint(tmp_path / "good", trained_with_prior(corpus))
    text, tensors = read_tensors(tmp_path / "good")
    description: dict[str, Any] = json.loads(text)
    change(description, tensors)
    save_tensors(tmp_path / "c", description, tensors)
    return tmp_path / "c"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: None,
        lambda text: text[:0],
        lambda text: text[None],
        lambda text: text.astype(np.int64),
        lambda text: text.astype(np.float32),
        lambda text: np.append(text, np.uint8(200)),
        lambda text: np.append(text.astype(np.uint64), np.uint64(2**64 - 1)),
    ],
    ids=["missing", "empty", "shape", "signed", "float", "index", "large index"],
)
def test_a_counted_text_that_is_none(corpus: Corpus, tmp_path: Path, change: Callable[[Any], Any]) -> None:
    def replace_text(description: dict[str, Any], tensors: dict[str, Any]) -> None:
        text = change(tensors.pop(NGRAM_TEXT))
        if text is not None:
            tensors[NGRAM_TEXT] = text

    message = error_message(altered(corpus, tmp_path, replace_text))
    assert f"({NGRAM_TEXT} is not an array of indices below {len(corpus.alphabet)})" in message


def test_a_counted_text_without_a_prior(corpus: Corpus, tmp_path: Path) -> None:
    path = altered(corpus, tmp_path, lambda description, _: description["config"].update(ngram_order=0))
    assert "is present, but the order of the n-gram prior is 0" in error_message(path)


@pytest.mark.parametrize("offset", [-1 - len(TEXT), 1.5, "1", None, 2**70])
def test_an_offset_that_is_none(corpus: Corpus, tmp_path: Path, offset: object) -> None:
    path = altered(corpus, tmp_path, lambda description, _: description.update(ngram_offset=offset))
    assert f"ngram_offset must be an integer from -{len(TEXT)} to" in error_message(path)


@pytest.mark.parametrize("engine", ["numba", "numpy"])
@pytest.mark.parametrize("offset", [1, MAX_INT])
def test_an_offset_matters_only_for_training(corpus: Corpus, tmp_path: Path, engine: str, offset: int) -> None:
    path = altered(corpus, tmp_path, lambda description, _: description.update(ngram_offset=offset))
    samples = [elman.load(path, engine=engine).sample(20, seed=1) for path in (path, tmp_path / "good")]
    assert samples[0] == samples[1]


@pytest.mark.parametrize("shape", [(), (ORDER,), (ORDER + 2,), (ORDER + 1, 1)])
def test_an_alpha_of_another_shape(corpus: Corpus, tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = altered(corpus, tmp_path, lambda _, tensors: tensors.update(alpha=np.zeros(shape, np.float32)))
    assert "array shapes do not match the configuration" in error_message(path)


@pytest.mark.parametrize("code", [0, 0.5, -1, 1e30, 200])
def test_a_state_that_ends_with_no_character(corpus: Corpus, tmp_path: Path, code: float) -> None:
    def replace_last(_: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["h"][-1] = code

    assert "(h ends with numbers that are not characters)" in error_message(altered(corpus, tmp_path, replace_last))


def test_the_package_neither_pickles_nor_evaluates() -> None:
    forbidden = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "eval", "exec", "allow_pickle"}
    for source in Path(elman.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            assert not names(node) & forbidden, f"{source}, line {getattr(node, 'lineno', 0)}"


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


# --- Writing ---


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "c", b"data")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "c").stat().st_mode & 0o777 == mode


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for data in (b"a longer text", b"short"):
        replace_file(tmp_path / "c", data)
        assert (tmp_path / "c").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the system refuse longer files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", checkpoint)
    before = (tmp_path / "c").read_bytes()
    with no_file_larger_than(len(before) // 2), pytest.raises(ElmanError) as raised:
        save_checkpoint(tmp_path / "c", checkpoint)
    expected = "(File too large): free disk space or choose another out; an existing file is left unchanged"
    assert str(raised.value) == f"cannot write {quote(tmp_path / 'c')} {expected}"
    assert (tmp_path / "c").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(("folder", "reason"), [("file", "Not a directory"), ("none", "No such file or directory")])
def test_a_folder_that_is_none(tmp_path: Path, folder: str, reason: str) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / folder / "c"
    with pytest.raises(ElmanError, match=f"^{re.escape(f'cannot write {quote(path)} ({reason})')}"):
        replace_file(path, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(ElmanError, match=r"^cannot write "):
        replace_file(tmp_path / "c", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
