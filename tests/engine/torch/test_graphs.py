"""Training by CUDA graphs: on a CUDA device, and emulated on the CPU. Skipped without PyTorch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from elman.engine import TrainState, get_engine
from elman.network import Dropout, Optimizer
from elman.network.ngram import count_training_text
from elman.network.optimizer import OPTIMIZERS
from elman.processes import Process
from elman.text import Windows
from support.state import snapshot

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from elman.engine.torch import graphs, step  # noqa: E402
from elman.engine.torch.collectives import Collectives  # noqa: E402
from elman.engine.torch.step import StepCache  # noqa: E402

CPU = torch.device("cpu")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
OPTIONS: list[dict[str, Any]] = [
    *({"name": name, "grad_clip_mode": mode} for name in OPTIMIZERS for mode in ("value", "norm")),
    {"name": "adamw", "dropout": Dropout(0.2, False, 1)},
    {"name": "adam", "dropout": Dropout(0.3, True, 2), "schedule": "cosine", "warmup": 3, "end": 40},
]
on_options = pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))


def optimizer_of(options: dict[str, Any]) -> Optimizer:
    return replace(Optimizer(0.01, 0.1, weight_decay=0.1, ema_decay=0.9), **options)


def state_and_windows(optimizer: Optimizer, cell: str = "gru") -> tuple[TrainState, Windows]:
    """Return a state before the first update, with an n-gram prior; an epoch has 16 windows."""
    windows = Windows(np.random.default_rng(1).integers(0, 7, 300).astype(np.uint8), 6, 3, cross_fit=True)
    ngrams = count_training_text(windows.indices, 7, 2, 0.7, 3)
    network: dict[str, Any] = {"cell": cell, "layers": 2, "batch_size": 3, "ngrams": ngrams}
    return TrainState.initial(7, 5, 0.3, 400, np.float32, optimizer=optimizer, **network), windows


def train(calls: tuple[int, ...], optimizer: Optimizer, device: str = "cpu", **network: str) -> TrainState:
    """Train with one engine in several calls, from the second on with the prior."""
    state, windows = state_and_windows(optimizer, **network)
    alpha, average = state.parameters["alpha"], state.average["alpha"]
    switched_on = alpha.copy()
    alpha[...] = average[...] = 0
    engine = get_engine("torch", device)
    for n, updates in enumerate(calls):
        if n == 1:
            alpha[...] = average[...] = switched_on
        engine.advance(state, windows, updates, optimizer)
    return state


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Records operations with their arguments and results, which are kept, so that no memory is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **kwargs or {})
        self.operations.append((function, args, kwargs or {}, result))
        return result


class ReplayedStep:
    """What `CapturedStep` is on a CUDA device, emulated: from the second call on, no code of the step is executed.

    As in a CUDA graph, the operations have the arguments of the capture, and write to the memory of the capture.
    """

    made: "list[ReplayedStep]"

    def __init__(self, function: Callable[[], None], device: Any) -> None:
        self.function, self.recorder = function, Recorder()
        self.made.append(self)

    def __call__(self) -> None:
        if not self.recorder.operations:
            with self.recorder:
                self.function()
            return
        with torch._C._AutoDispatchBelowAutograd():  # where they were recorded
            for operation, args, kwargs, result in self.recorder.operations:
                for old, new in zip(tree_leaves(result), tree_leaves(operation(*args, **kwargs)), strict=True):
                    if torch.is_tensor(old) and old.data_ptr() != new.data_ptr():  # neither a view nor in place
                        old.copy_(new)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[ReplayedStep]:
    """Emulate CUDA graphs on the CPU; return the steps that are captured."""
    made: list[ReplayedStep] = []
    monkeypatch.setattr(ReplayedStep, "made", made, raising=False)
    monkeypatch.setattr(step, "CapturedStep", ReplayedStep)
    monkeypatch.setattr(StepCache, "captures", True)
    return made


CALLS = (20, 1, 30)
"""With the beginning of an epoch, and a call of one update."""


@on_options
def test_a_step_can_be_replayed(
    options: dict[str, Any], replayed: list[ReplayedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that differs between updates is fixed by the code of the step, bit for bit."""
    optimizer = optimizer_of(options)
    state = train(CALLS, optimizer)
    monkeypatch.undo()
    assert snapshot(state) == snapshot(train(CALLS, optimizer))
    assert len(replayed) == 2  # without and with the prior


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_step_of_other_cells_can_be_replayed(
    cell: str, replayed: list[ReplayedStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = optimizer_of(OPTIONS[-1])
    state = train(CALLS, optimizer, cell=cell)
    monkeypatch.undo()
    assert snapshot(state) == snapshot(train(CALLS, optimizer, cell=cell))


@on_options
def test_a_step_never_waits_for_the_device(options: dict[str, Any], replayed: list[ReplayedStep]) -> None:
    """No value of a tensor is read by Python, and nothing is copied from the memory of the CPU."""
    train((1, 1), optimizer_of(options))
    for captured in replayed:
        names = {operation[0].name() for operation in captured.recorder.operations}
        assert not names & {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::_pin_memory"}
        assert not {name for name in names if name.startswith("aten::lift")}  # of torch.tensor


class FakeGraphs:
    """Stands for `torch.cuda`, and counts captures and replays."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.device = CPU

    def record(self, event: str) -> Any:
        self.events.append(event)
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments, **options: self.record(name)

    def __enter__(self) -> None:
        self.events.append("enter")

    def __exit__(self, *error: object) -> None:
        self.events.append("exit")


def test_a_step_is_warmed_up_captured_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeGraphs()
    monkeypatch.setattr(torch, "cuda", fake)
    captured = graphs.CapturedStep(lambda: fake.events.append("step"), CPU)
    for _ in range(graphs.WARM_UP_STEPS):
        fake.events.clear()
        captured()
        assert fake.events == ["current_stream", "wait_stream", "stream", "enter", "step", "exit", "wait_stream"]
    fake.events.clear()
    captured()
    captured()
    assert fake.events == ["CUDAGraph", "graph", "enter", "step", "exit", "replay", "replay"]


@pytest.mark.parametrize(("device", "size", "captures"), [("cuda", 1, True), ("cuda", 2, False), ("cpu", 1, False)])
def test_steps_are_captured_on_cuda_in_one_process(device: str, size: int, captures: bool) -> None:
    assert StepCache(torch.device(device), False, Collectives(Process(0, size))).captures is captures


@on_a_gpu
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@on_options
def test_captured_training_is_uncaptured_training(
    options: dict[str, Any], cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimizer = optimizer_of(options)
    captured = train(CALLS, optimizer, "cuda", cell=cell)
    monkeypatch.setattr(StepCache, "captures", False)
    assert snapshot(captured) == snapshot(train(CALLS, optimizer, "cuda", cell=cell))


@on_a_gpu
def test_resume_on_a_gpu_is_exact() -> None:
    """With a new engine, which captures again."""
    optimizer = optimizer_of(OPTIONS[-1])
    expected, windows = state_and_windows(optimizer)
    get_engine("torch", "cuda").advance(expected, windows, 40, optimizer)
    state, _ = state_and_windows(optimizer)
    for updates in (2, 13, 25):
        get_engine("torch", "cuda").advance(state, windows, updates, optimizer)
    assert snapshot(state) == snapshot(expected)
