"""When the kernels of an engine are compiled, which takes a while, and not loaded from the cache."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from elman.engine.protocol import Engine
from elman.engine.state import TrainState
from elman.network import SamplingParams
from elman.network.optimizer import Optimizer
from elman.text import Windows

_TRIAL_CHARACTERS = 100
"""Characters that are counted to compile the kernels of the n-gram model."""
COMPILING = "compiling kernels (once for this kind of network, may take half a minute) …"


@contextmanager
def watch_compilation(on_start: Callable[[], None]) -> Iterator[None]:
    """Call a function once, before Numba compiles the first kernel in the block; never if it compiles none."""
    if sys.modules.get("numba") is None:  # engines that need it have imported it
        yield
        return
    from numba.core import event

    started = False

    class FirstCompilation(event.Listener):
        def on_start(self, event: Any) -> None:
            nonlocal started
            if not started:
                started = True
                on_start()

        def on_end(self, event: Any) -> None:
            pass

    with event.install_listener("numba:compile", FirstCompilation()):
        yield


def compile_kernels(engine: Engine, state: TrainState, windows: Windows, optimizer: Optimizer, samples: bool) -> None:
    """Compile every kernel that a training calls, by calling it on a copy.

    `samples` is whether the training prints samples.
    """
    trial = copy.deepcopy(state)
    engine.advance(trial, windows, 1, optimizer)
    if trial.parameters.ngrams is not None and not trial.parameters.uses_prior:  # it is switched on later
        short = replace(trial.parameters.ngrams, text=trial.parameters.ngrams.text[:_TRIAL_CHARACTERS], tables={})
        trial.parameters = trial.parameters.with_ngrams(short)
        trial.parameters["alpha"][...] = 1
        engine.advance(trial, windows, 1, optimizer)
    if samples:
        engine.generate(trial.eval_parameters, trial.final_hidden, 0, np.zeros(1), SamplingParams())
