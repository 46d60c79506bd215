"""The torch engine against the reference, and what it does beyond the conformance test. Skipped without PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import TrainState, get_engine
from elman.engine.numba.engine import NumbaEngine
from elman.engine_registry import ENGINES
from elman.errors import ElmanError
from elman.network import Dropout, Optimizer
from elman.network.dropout import WeightDropout
from elman.network.optimizers import OPTIMIZERS
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.testing import EngineComparison, check_engine
from elman.text import Corpus, Windows
from support import tolerances as tolerances
from support.state import snapshot
from support.training import EXACT, assert_same, train

torch = pytest.importorskip("torch")

from elman.engine.torch import engine as torch_engine  # noqa: E402
from elman.engine.torch.functional import LAYERS, dropout_masks  # noqa: E402
from support.networks import make_state, numbers  # noqa: E402

CPU = torch.device("cpu")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_a_gpu)])
PLAIN, VARIATIONAL = Dropout(0.2, False, 1), Dropout(0.3, True, 2**32 - 1)
ADAM = Optimizer(0.01, 1.0, "adam", "norm", 0.9, 0.99, 0.1, "cosine", 3, 60, 0.9, PLAIN)
MUON = Optimizer(0.01, 1.0, "muon", "norm", dropout=VARIATIONAL, weight_dropout=WeightDropout(0.3, 5))
NETWORKS: list[dict[str, Any]] = [
    {},
    {"cell": "rnn", "layers": 2, "batch_size": 3, "optimizer": ADAM},
    {"cell": "gru", "ngram_order": 3},
    {"cell": "gru", "layers": 2, "batch_size": 4, "optimizer": MUON, "ngram_order": 4},
    {"cell": "lstm", "batch_size": 2, "optimizer": Optimizer(0.01, 0.5, "sgd", dropout=VARIATIONAL)},
    {"cell": "lstm", "layers": 3, "batch_size": 3, "ngram_order": 2},
]
CORPUS = Corpus.from_text("Wer reitet so spät durch Nacht und Wind? Es ist der Vater mit seinem Kind. " * 6)
GRU = EXACT | {"engine": "torch", "cell": "gru", "layers": 2, "batch_size": 3, "ngram_order": 3, "dropout": 0.2}
FLOAT32 = GRU | {"dtype": "float32"}
MIXED = FLOAT32 | {"mixed_precision": True}


def assert_conforms(comparison: EngineComparison, tolerance: float = tolerances.TORCH) -> None:
    errors = [comparison.loss, comparison.final_state, *comparison.gradients.values(), comparison.trajectory]
    assert max(*errors, comparison.end, comparison.session) <= tolerance
    assert comparison.same_counts
    assert comparison.same_text


@on_devices
@pytest.mark.parametrize("network", NETWORKS, ids=range(len(NETWORKS)))
def test_it_conforms_to_the_reference(network: dict[str, Any], device: str) -> None:
    assert_conforms(check_engine(get_engine("torch", device), **network))


@pytest.mark.parametrize(
    "name", [name for name, spec in OPTIMIZERS.items() if ENGINES["torch"].has_steps(spec.step_names)]
)
@pytest.mark.parametrize("mode", ["value", "norm"])
def test_every_optimizer_conforms(name: str, mode: str) -> None:
    optimizer = Optimizer(0.01, 0.1, name, mode, weight_decay=0.1, ema_decay=0.9)
    assert_conforms(check_engine(get_engine("torch", "cpu"), m=3, K=5, optimizer=optimizer))


def state_and_windows(updates: int = 0, cell: str = "lstm") -> tuple[TrainState, Windows]:
    """Return the state of a network after some updates."""
    windows = Windows(np.random.default_rng(1).integers(0, 7, 300).astype(np.uint8), 6, 3, cross_fit=True)
    ngrams = count_ngrams(windows.indices, NgramSpec(7, 2), 3)
    network: dict[str, Any] = {"cell": cell, "layers": 2, "batch_size": 3, "ngrams": ngrams}
    state = make_state(7, 5, 0.3, 400, np.float32, optimizer=ADAM, **network)
    get_engine("torch", "cpu").advance(state, windows, updates, ADAM)
    return state, windows


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_mixed_precision_has_float32_gradients_near_those_of_float32(cell: str) -> None:
    """On the CPU, where PyTorch's LSTM cannot compute in bfloat16; the code is that for CUDA."""
    state, windows = state_and_windows(cell=cell)
    expected, gradients = (
        torch_engine.Training(state, windows, ADAM, CPU, mixed_precision).compute_gradients()[1]
        for mixed_precision in (False, True)
    )
    for name, g in gradients.items():
        assert g.dtype == torch.float32
        error = float((g - expected[name]).norm() / expected[name].norm())
        assert 0 < error <= tolerances.MIXED_PRECISION, name


def test_mixed_precision_is_for_cuda() -> None:
    losses = [train(CORPUS, **options, device="cpu", max_updates=3).state.smooth_loss for options in (MIXED, FLOAT32)]
    assert losses[0] == losses[1]


@on_a_gpu
@pytest.mark.parametrize("cell", LAYERS)
def test_mixed_precision_trains_on_a_gpu(cell: str) -> None:
    options = MIXED | {"cell": cell, "device": "cuda", "max_updates": 40}
    losses = [train(CORPUS, **options | {"mixed_precision": mixed}).state.smooth_loss for mixed in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=tolerances.MIXED_PRECISION)


@pytest.mark.parametrize("dropout", [PLAIN, VARIATIONAL])
def test_dropout_masks_are_those_of_the_reference(dropout: Dropout) -> None:
    """Also of some rows of the batch, those of one process."""
    net, rows = state_and_windows()[0].parameters.architecture, slice(2, 5)
    for update in (1, 2**31 + 5):
        masks = dropout_masks(dropout, update, net, 4, 7, rows, torch.zeros(1))
        expected = dropout.masks(update, net.layers, 4, 7, net.m, np.float32)
        for mask, reference in zip(masks, expected, strict=True):
            np.testing.assert_array_equal(mask.numpy(), reference[:, rows])


@on_devices
def test_the_division_into_calls_does_not_change_a_bit(device: str) -> None:
    expected, windows = state_and_windows()
    get_engine("torch", device).advance(expected, windows, 150, ADAM)
    state, _ = state_and_windows()
    calls = []

    def stop_once(h: Any, losses: Any) -> bool:
        calls.append(h.shape)
        return len(calls) == 1

    for updates in (3, 0, 140):
        get_engine("torch", device).advance(state, windows, updates, ADAM, stop_once)
    assert state.update == 95  # where the callback was due
    get_engine("torch", device).advance(state, windows, 55, ADAM)
    assert snapshot(state) == snapshot(expected)


@pytest.mark.parametrize("with_prior", [True, False])
def test_the_losses_of_a_session_on_a_gpu(with_prior: bool) -> None:
    """Computed here on the CPU: the code is the same."""
    state, windows = state_and_windows(5)
    parameters = state.parameters.map(lambda array: array.astype(np.float64))
    if not with_prior:
        parameters["alpha"][:] = 0
    x, y = windows.at(0)
    hidden = state.hidden.with_recurrent(state.hidden.recurrent.astype(np.float64))
    losses, last = torch_engine.DeviceSession(parameters, CPU).losses(hidden, x, y)
    expected, expected_last = NumbaEngine().session(parameters).losses(hidden, x, y)
    np.testing.assert_allclose(losses, expected, rtol=tolerances.TORCH)
    np.testing.assert_allclose(numbers(last), numbers(expected_last), rtol=tolerances.TORCH)


def test_a_run_that_one_engine_began_continues_with_another(tmp_path: Path) -> None:
    expected = train(CORPUS, **GRU | {"engine": "numpy"}, max_updates=30)
    train(CORPUS, **GRU | {"engine": "numpy"}, max_updates=10, out=tmp_path)
    train(CORPUS, engine="torch", device="cpu", max_updates=20, out=tmp_path, resume=True)
    run = train(CORPUS, engine="numpy", max_updates=30, out=tmp_path, resume=True)
    assert run.config.device == "auto"
    for name, array in run.state.parameters.items():
        np.testing.assert_allclose(array, expected.state.parameters[name], rtol=1e-9, atol=1e-12)


def test_resume_is_exact(tmp_path: Path) -> None:
    options = GRU | {"validation": 0.2, "validate_every": 3}
    expected = train(CORPUS, **options, max_updates=20)
    train(CORPUS, **options, max_updates=9, out=tmp_path)
    assert_same(train(CORPUS, max_updates=20, out=tmp_path, resume=True), expected)
    assert "torch" in (tmp_path / "run.json").read_text()
    assert elman.load(tmp_path).engine.name == "numba"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^device='cuda' is not available: PyTorch .* finds no such device$"):
        train(CORPUS, **GRU, device="cuda", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_without_enough_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise torch.OutOfMemoryError

    state, windows = state_and_windows()
    monkeypatch.setattr(torch_engine.Training, "compute_gradients", fail)
    with pytest.raises(ElmanError, match=r"^not enough memory on cpu; lower batch_size, seq_length or"):
        get_engine("torch", "cpu").advance(state, windows, 1, ADAM)
