"""One entry of the registry makes a cell: it is trained, checked, saved and explained, and refused where it must be.

One cell of these tests has the shapes of the vanilla cell, so whatever guessed the cell would take it for that; the
other has no recurrent matrix.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.engine.numba import cells as compiled_cells
from elman.engine_registry import ENGINES, EngineSpec, require_cell
from elman.errors import ElmanError
from elman.network import Architecture
from elman.network.cells import CELLS, cell_help
from elman.network.ops import Array, Arrays
from elman.network.parameters import NAMES
from elman.text import Corpus
from elman.training.health import HealthMonitor
from support import leaky_cell, mingru_cell
from support.networks import window_loss, with_architecture
from support.state import ROOT, TEXT, T, snapshot

SPECS = {spec.name: spec for spec in (leaky_cell.SPEC, mingru_cell.SPEC)}
EACH_CELL = pytest.mark.parametrize("cell", SPECS)
OPTIONS: dict[str, Any] = {
    "preset": "reference", "layers": 2, "hidden_size": 5, "seq_length": T, "engine": "numpy",
}  # fmt: skip
NO_ENGINE = "cell '{}' is not supported by the {} engine; use engine='numpy'"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, spec in SPECS.items():
        monkeypatch.setitem(CELLS.core, name, spec)


@pytest.fixture
def model(cell: str) -> elman.Model:
    return elman.train(Corpus.from_text(TEXT), **OPTIONS, cell=cell, max_updates=20).model


def test_the_entries_agree_with_the_kernels() -> None:
    for name, blocks in compiled_cells.CELLS.items():
        assert CELLS[name].has_W
        assert sorted(blocks.input_gates) == list(range(len(CELLS[name].gates)))
        assert blocks.state_vectors == len(CELLS[name].state)
        assert blocks.has_recurrent_bias == ("d" in CELLS[name].extra_biases)


def test_every_entry_is_consistent() -> None:
    for name, spec in CELLS.items():
        assert spec.name == name
        assert all(len(bias) == 1 and bias not in NAMES for bias in spec.extra_biases)
    assert cell_help() == "Recurrent cell: gru, lstm, rnn, leaky or mingru."


@EACH_CELL
@pytest.mark.parametrize("layers", [1, 2])
def test_its_gradients(cell: str, layers: int) -> None:
    (check,) = elman.gradcheck(
        Corpus.from_text(TEXT), hidden_size=4, seq_length=5, points=10, cell=cell, layers=layers, engine="numpy"
    )
    assert check.relative_error.keys() == {*Architecture(2, 4, cell, layers).shapes(), "h0"}
    assert check.passed


@pytest.mark.parametrize(
    "multiply",
    [
        lambda h, W: np.concatenate([h @ W[:1].T, h @ W[1:].T], axis=-1),
        lambda h, W: np.concatenate([h @ W.T[:, :1], h @ W.T[:, 1:]], axis=-1),
        lambda h, W: np.stack([h @ row for row in W], axis=-1),
        lambda h, W: np.einsum("...j,ij->...i", h, W),
        lambda h, W: h @ W.T.T.T,
        lambda h, W: h @ W.T + h @ W - h @ np.asarray(W, np.float64),
    ],
)
def test_a_cell_may_use_an_array_in_any_way(
    monkeypatch: pytest.MonkeyPatch, multiply: Callable[[Any, Any], Any]
) -> None:
    def candidates(parameters: Arrays, h: Array, Ux: Array) -> Array:
        return np.asarray(np.tanh(multiply(h, parameters["W"]) + Ux + parameters["b"]))

    monkeypatch.setattr(leaky_cell, "candidates", candidates)
    (check,) = elman.gradcheck(Corpus.from_text(TEXT), hidden_size=4, seq_length=5, cell="leaky", engine="numpy")
    assert check.passed


def test_a_matrix_that_is_not_transposed(monkeypatch: pytest.MonkeyPatch) -> None:
    def transpose(arrays: Arrays) -> Arrays:
        return arrays | {"W": arrays["W"].T}

    def forward(parameters: Arrays, *arguments: Any) -> Array:
        return leaky_forward(transpose(parameters), *arguments)

    def backward(parameters: Arrays, *arguments: Any) -> tuple[Arrays, Array, Array]:
        gradients, dh_0, dx = leaky_backward(transpose(parameters), *arguments)
        return transpose(gradients), dh_0, dx

    leaky_forward, leaky_backward = leaky_cell.forward, leaky_cell.backward
    monkeypatch.setattr(leaky_cell, "forward", forward)
    monkeypatch.setattr(leaky_cell, "backward", backward)
    (check,) = elman.gradcheck(Corpus.from_text(TEXT), hidden_size=4, seq_length=5, cell="leaky", engine="numpy")
    assert check.passed


@EACH_CELL
def test_a_run_is_resumed_bit_for_bit(cell: str, tmp_path: Path) -> None:
    corpus = Corpus.from_text(TEXT)
    options = OPTIONS | {"cell": cell, "ema_decay": 0.9, "validation": 0.2, "batch_size": 2, "dropout": 0.1}
    expected = elman.train(corpus, **options, max_updates=20)
    elman.train(corpus, **options, max_updates=7, out=tmp_path)
    resumed = elman.train(corpus, out=tmp_path, resume=True, max_updates=20)
    assert snapshot(resumed.state) == snapshot(expected.state)
    loaded = elman.load(tmp_path)
    assert loaded.parameters.architecture.cell == expected.model.parameters.architecture.cell == cell
    assert loaded.sample(50, seed=1) == expected.model.sample(50, seed=1)


@pytest.mark.parametrize("cell", ["leaky"])
def test_the_cell_is_stored_and_not_inferred_from_the_shapes(model: elman.Model) -> None:
    indices = model.alphabet.encode(TEXT)
    as_rnn = with_architecture(model.parameters, cell="rnn")
    losses = [window_loss(p, model.state, indices[:-1], indices[1:])[0] for p in (model.parameters, as_rnn)]
    assert losses[0] != losses[1]
    assert repr(model).startswith("<Model: 2 x leaky 5,")


@EACH_CELL
def test_the_health_monitor_knows_whether_gates_hold_a_unit_at_zero(cell: str) -> None:
    monitor = HealthMonitor(elman.Config(cell=cell, engine="numpy"), Architecture(7, 5, cell))
    monitor.check_state(np.ones(5))
    values = "-1, 0 or 1" if SPECS[cell].is_gated else "-1 or 1"
    assert f"of {values}," in monitor.check_state(np.ones(5))


@EACH_CELL
def test_it_adapts_and_is_scored_in_a_session(model: elman.Model) -> None:
    assert model.score(TEXT * 3, adapt="weights").nats < model.score(TEXT * 3).nats
    assert model.samples(2, 20, seed=1)[0] == model.sample(20, seed=1)


@EACH_CELL
def test_npz_keeps_the_cell(model: elman.Model, cell: str, tmp_path: Path) -> None:
    elman.export(model, tmp_path / "model.npz")
    imported = elman.import_(tmp_path / "model.npz", out=tmp_path / "imported", engine="numpy")
    assert imported.parameters.architecture.cell == cell
    assert elman.load(tmp_path / "imported").sample(50, seed=1) == model.sample(50, seed=1)


@EACH_CELL
@pytest.mark.parametrize("name", ["numba", "torch"])
def test_the_other_engines_refuse_it(model: elman.Model, cell: str, name: str, tmp_path: Path) -> None:
    if name == "torch":
        pytest.importorskip("torch")
    expected = NO_ENGINE.format(cell, name)
    with pytest.raises(ElmanError, match=expected):
        elman.train(Corpus.from_text(TEXT), **OPTIONS | {"engine": name}, cell=cell, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    engine, x = get_engine(name), model.alphabet.encode(TEXT)
    calls = (
        lambda: engine.session(model.parameters).losses(model.start(), x[:-1, None], x[1:, None]),
        lambda: engine.loss_and_gradients(model.parameters, model.state, x[:-1], x[1:]),
    )
    for call in calls:
        with pytest.raises(ElmanError, match=f"cell '{cell}' is not supported by the (numba|torch) engine"):
            call()


def test_the_remedy_is_an_engine_that_has_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES.core, "other", EngineSpec("other", "", "", cells="support.leaky_cell:TABLE"))
    with pytest.raises(ElmanError, match=r"^cell 'gru' is not supported by the other engine; use engine=.numba.$"):
        require_cell("other", "gru")


def test_a_cell_without_a_recurrent_matrix_has_no_weights_to_drop() -> None:
    runs = (
        elman.train(Corpus.from_text(TEXT), **OPTIONS, cell="mingru", weight_dropout=rate, max_updates=5)
        for rate in (0.0, 0.5)
    )
    first, second = (run.state.parameters for run in runs)
    assert all(np.array_equal(first[name], second[name]) for name in first)


@EACH_CELL
@pytest.mark.parametrize(("target", "suffix"), [("onnx", ".onnx"), ("torch", ".safetensors")])
def test_it_is_not_exported(model: elman.Model, cell: str, tmp_path: Path, target: str, suffix: str) -> None:
    expected = f"^a model with cell '{cell}' cannot be exported to {target}; export to npz$"
    with pytest.raises(ElmanError, match=expected):
        elman.export(model, tmp_path / f"model{suffix}")
    assert not list(tmp_path.iterdir())


TRAIN = (
    "train", "text", "--preset", "reference", "--cell", "leaky", "--hidden-size", 5, "--seq-length", T, "--json", "-q",
)  # fmt: skip


def test_a_program_that_registers_it_knows_it_as_an_option(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, "utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    program = [sys.executable, "-m", "support.leaky_cell"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    assert "leaky" in subprocess.run([*program, "train", "--help"], **options, check=True).stdout
    ended = subprocess.run([*program, *map(str, TRAIN), "--out", "other"], **options, check=False)
    refusal = NO_ENGINE.format("leaky", "numba").replace("engine='numpy'", "--engine numpy")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"error: {refusal}\n")
    assert not (tmp_path / "other" / "run.json").exists()
    more = ("--out", "run", "--engine", "numpy", "--max-updates", "1")
    subprocess.run([*program, *map(str, TRAIN), *more], **options, check=True)
    assert elman.load(tmp_path / "run").parameters.architecture.cell == "leaky"
