"""Engines carry out the mathematics of `elman.network`: by name, imported when they are first used.

``numpy`` runs it as written and is the reference; ``numba`` computes the same numbers with compiled code. The
conformance test in `elman.testing` compares any engine with the reference.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import numpy as np

from elman.config import Config
from elman.engine.processes import current_process
from elman.engine.protocol import CALLBACK_INTERVAL as CALLBACK_INTERVAL
from elman.engine.protocol import Engine as Engine
from elman.engine.protocol import Indices as Indices
from elman.engine.protocol import InferenceSession as InferenceSession
from elman.engine.protocol import TrainState as TrainState
from elman.engine_registry import ENGINES, NUMBA_INSTALLED, inference_engine, require_cell, require_steps
from elman.errors import ElmanError, option, quote, require_extra
from elman.jit import COMPILATION
from elman.network import SamplingParams
from elman.network.optimizer import Optimizer
from elman.network.optimizers import OPTIMIZERS
from elman.text import Windows

COMPILING = "compiling kernels (once for this kind of network, may take half a minute) …"


def get_engine(name: str, device: str = "auto", mixed_precision: bool = False) -> Engine:
    """Return the engine `name`, one of `elman.engine_registry.ENGINES`, importing it."""
    if name not in ENGINES:
        raise ElmanError(f"unknown engine {quote(name)} (choose from {', '.join(ENGINES)})")
    spec = ENGINES[name]
    require_numba(name)
    module, _, class_name = spec.factory.partition(":")
    with require_extra(spec.extra):
        factory = getattr(import_module(module), class_name)
    options = {"device": device, "mixed_precision": mixed_precision}
    engine: Engine = factory(**{name: options[name] for name in spec.options})
    return engine


def require_numba(name: str) -> None:
    """Check that Numba is installed, if the engine `name` requires it; nothing is imported."""
    if ENGINES[name].requires_numba and not NUMBA_INSTALLED:
        raise ElmanError(
            f"{option.engine:{name}} requires Numba, which is not installed: install it, or use {option.engine:numpy}"
        )


def require_engine(config: Config) -> None:
    """Check that the engine of a run is installed, has the cell and the device, and can use all processes."""
    require_numba(config.engine)
    with require_extra(ENGINES[config.engine].extra):
        require_cell(config.engine, config.cell)
        require_steps(config.engine, config.optimizer, OPTIMIZERS[config.optimizer].step_names)
    process = current_process()
    if process.rank > 0:
        raise ElmanError(
            "torchrun can start elman train only, not a program that calls it: torchrun … -m elman train …"
        )
    if process.size > 1 and not ENGINES[config.engine].has_devices:
        raise ElmanError(
            f"torchrun requires {option.engine:torch} (got {config.engine}): two machines train such small networks at"
            " most 1.3 times as fast as one; to use several processes, train several networks with elman sweep"
        )
    if process.size > config.batch_size:
        raise ElmanError(
            f"{option.batch_size} must be at least the number of processes, {process.size} (got {config.batch_size})"
        )
    if ENGINES[config.engine].extra:
        get_engine(config.engine, config.device, config.mixed_precision)


# --- Compilation of kernels, which takes a while where they are not loaded from the cache ---


@contextmanager
def watch_compilation(on_start: Callable[[], None]) -> Iterator[None]:
    """Call a function once, before Numba compiles the first kernel in the block; never if it compiles none."""
    announced = False

    def announce() -> None:
        nonlocal announced
        if not announced:
            announced = True
            on_start()

    COMPILATION.watchers.append(announce)
    try:
        yield
    finally:
        COMPILATION.watchers.remove(announce)


def compile_seconds() -> float:
    """Return the seconds that this process has spent on the compilation of kernels."""
    return COMPILATION.seconds


def start_compiling(
    engine: Engine, state: TrainState, windows: Windows, optimizer: Optimizer, samples: bool, validates: bool
) -> None:
    """Begin to compile what a training calls, in other processes, where nothing is in the cache yet.

    `state` has arrays of the same shapes and types as the later one; it is changed. `samples` is whether the training
    prints samples, `validates` whether it has a validation set.
    """
    start = getattr(engine, "start_compiling", None)  # the compiled engine has it
    if start is not None:
        start(state, windows, optimizer, samples, validates)


def compile_kernels(engine: Engine, state: TrainState, windows: Windows, optimizer: Optimizer, samples: bool) -> None:
    """Compile every kernel that a training calls, by calling it on a copy.

    `samples` is whether the training prints samples.
    """
    parallel = sys.modules.get("elman.jit.parallel")
    if parallel is not None:
        parallel.finish_compiling()
    if not state.parameters.architecture.m:
        return
    trial = copy.deepcopy(state)
    engine.advance(trial, windows, 1, optimizer)
    if trial.parameters.prior.is_off:
        trial.parameters["alpha"][...] = 1  # as it will be later
        engine.advance(trial, windows, 1, optimizer)
    if samples:
        session = get_engine(inference_engine(engine.name, state.parameters.architecture.cell)).session(
            trial.eval_parameters
        )
        session.generate(trial.final_hidden.reshape(1), np.zeros(1, np.intp), np.zeros((1, 1)), [SamplingParams()])
