"""The samples of a run: one before the first update and after every `Config.sample_every`, and one at its end."""

from __future__ import annotations

import math

import numpy as np

from elman.engine import get_engine
from elman.engine_registry import inference_engine
from elman.model.generate import sample_chunks
from elman.network.sampling import SamplingParams
from elman.runs.history import Sample, finite_or_none
from elman.training.callbacks import TrainingCallback
from elman.training.health import HealthCheck
from elman.training.run import Run

FINAL_LENGTH = 1000
"""Length of the sample of the finished network, as in the reference experiment."""
FINAL_LINES = 10
"""Lines of that sample, where the text is one of independent lines."""


class Samples:
    """Generates a sample after every `Config.sample_every` updates."""

    def __init__(self, run: Run, callback: TrainingCallback, health: HealthCheck) -> None:
        self.run, self.callback, self.health = run, callback, health

    def next_update(self, last_update: int) -> float:
        """Return the next multiple of the interval; 0 before the first sample."""
        every, samples = self.run.config.sample_every, self.run.samples
        if not every:
            return math.inf
        return (samples[-1].update // every + 1) * every if len(samples) else 0

    def perform(self, last_update: int) -> None:
        """Generate a sample with the generator of the run, which is not that of anything else."""
        run = self.run
        self.health.require_finite()
        generated = continue_text(run, run.config.sample_length, run.state.sample_generator)
        sample = Sample(run.state.update, finite_or_none(run.smooth_loss), generated)
        run.samples.append(sample)
        self.callback.on_sample(run, sample)


def continue_text(run: Run, length: int, generator: np.random.Generator, temperature: float = 1.0) -> str:
    """Generate `length` characters from the current state, from the next one of the last batch row or of a line."""
    state, alphabet, windows, lines = run.state, run.corpus.alphabet, run.data.windows, run.config.lines
    session = get_engine(inference_engine(run.config.engine, run.config.cell)).session(state.eval_parameters)
    position = (windows.batch_size - 1) * windows.row_length + state.position
    first = int(run.corpus.indices[0 if lines else position])
    shown = "" if lines else alphabet.decode([first])
    start, sampling = (state.final_hidden.reshape(1), np.array([first])), SamplingParams(temperature)
    chunks = sample_chunks(session, *start, length - len(shown), sampling, [generator])
    return shown + "".join(alphabet.decode(characters[:, 0]) for characters in chunks)


def generate_final_sample(run: Run, temperature: float) -> str:
    """Generate a sample of the selected network, with a generator of its own, so that the run does not change."""
    seed = [run.config.seed, run.state.update]
    if run.config.lines:
        length = FINAL_LENGTH // FINAL_LINES
        return "\n".join(run.model.samples(FINAL_LINES, length, seed=sum(seed), temperature=temperature))
    if run.selected is None or run.selected.update == run.state.update:
        return continue_text(run, FINAL_LENGTH, np.random.default_rng(seed), temperature)
    return run.model.sample(FINAL_LENGTH, seed=sum(seed), temperature=temperature)
