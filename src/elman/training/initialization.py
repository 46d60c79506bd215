"""What a training starts from: its optimizer, its n-gram counts, its state before the first update."""

from __future__ import annotations

import math
from dataclasses import fields
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from elman.config import Config
from elman.engine import TrainState, get_engine, start_compiling
from elman.errors import ElmanError, option
from elman.machine import available_memory
from elman.network.dropout import Dropout, WeightDropout
from elman.network.optimizer import Optimizer
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import INITIAL_ALPHA, Architecture, Arrays, Parameters, initial_parameters
from elman.ngram.model import NgramModel
from elman.recipe import describe_changed
from elman.runs.texts import TrainingData, suggest_field
from elman.training.run import Run

if TYPE_CHECKING:
    pass

COUNTING, READING = 3, 4
"""Bytes in which the n-grams of a long text are counted and read, per character, and per byte of the largest table."""


def initial_state(data: TrainingData, optimizer: Optimizer, pretrained: NgramModel | None = None) -> TrainState:
    """Return the state before the first update; the n-gram prior has the counts of a pretrained one as well."""
    config = data.config
    ngrams = count_training_text(data, pretrained)
    # On a busy machine two threads of BLAS wait for one another: the QR factorization of 192 x 192 takes up to 2 s.
    with threadpool_limits(1, "blas"):
        parameters = initial_parameters(
            config.architecture(data.corpus.alphabet),
            config.init_std,
            np.random.RandomState(config.seed),
            config.dtype,
            orthogonal=config.init == "orthogonal",
            ngrams=ngrams,
            alpha=1.0 if config.is_counts_only else 0.0 if config.ngram_start else INITIAL_ALPHA,
        )
    return TrainState.initial(parameters, config.seed, config.batch_size, optimizer)


def compile_ahead(data: TrainingData, optimizer: Optimizer) -> None:
    """Begin to compile the kernels of a training while its text is counted."""
    config = data.config
    net, engine = (
        config.architecture(data.corpus.alphabet),
        get_engine(config.engine, config.device, config.mixed_precision),
    )
    zeros = Parameters(net, Arrays({name: np.zeros(shape, config.dtype) for name, shape in net.shapes().items()}))
    state = TrainState.initial(zeros, config.seed, config.batch_size, optimizer)
    start_compiling(engine, state, data.windows, optimizer, config.sample_every > 0, data.validation_set is not None)


def require_memory(data: TrainingData) -> None:
    """Check that the memory that a training needs at least is available, before it is allocated."""
    needed = _estimate_memory(data.config, len(data.corpus.alphabet), len(data.windows.indices))
    total, available = sum(needed.values()), available_memory()
    if total > available:
        part, remedy = max(needed, key=needed.__getitem__)
        raise ElmanError(
            f"not enough memory: training needs at least {total / 1e9:,.1f} GB, {needed[part, remedy] / 1e9:,.1f} GB"
            f" of them for {part}, and {available / 1e9:,.1f} GB are available; {remedy}"
        )


def _estimate_memory(config: Config, K: int, N: int) -> dict[tuple[str, str], int]:
    """Return how many bytes a training allocates at least, by what they are for and how to need fewer."""
    net = Architecture(K, config.hidden_size, config.cell, config.layers)
    one, two = (sum(map(prod, net._replace(layers=min(n, net.layers)).shapes().values())) for n in (1, 2))
    moments = len(OPTIMIZERS[config.optimizer].moments)
    # The state, a copy for the compilation of the kernels, the copy of the compiled engine, and the gradients.
    copies = (3 if config.engine == "numba" else 2) * (1 + moments + (config.ema_decay > 0)) + 1
    per_step = net.layers * net.m * (net.state_vectors + net.gates) + K
    size = np.dtype(config.dtype).itemsize
    counts = min(COUNTING * N, round(READING * config.ngram_max_size * 1e6))
    return {
        ("weights and the optimizer",
         f"lower {option.hidden_size} (now {net.m:,}) or {option.layers} (now {net.layers:,})"):
            size * copies * (one + (two - one) * (net.layers - 1)),
        ("activations",
         f"lower {option.batch_size} (now {config.batch_size:,}) or {option.seq_length} (now {config.seq_length:,})"):
            size * config.batch_size * config.seq_length * per_step,
        ("n-gram counts", f"pass {option.ngram_order:0}"): counts if config.ngram_order else 0,
    }  # fmt: skip


def count_training_text(data: TrainingData, pretrained: NgramModel | None = None) -> NgramModel | None:
    """Return the n-gram model of the training text, with the counts of a pretrained one; None for order 0."""
    config = data.config
    if not config.ngram_order:
        return None
    from elman.ngram.counting import count_ngrams

    spec, max_size = config.architecture(data.corpus.alphabet).ngram_spec, config.ngram_max_size * 1e6
    ngrams = count_ngrams(data.windows.indices, spec, config.ngram_folds, config.ngram_min_count, max_size=max_size)
    if ngrams is None or pretrained is None:
        return ngrams
    from elman.ngram.merging import merge, overlap

    if overlap(pretrained, ngrams):
        return ngrams
    merged = merge(pretrained, ngrams)
    if merged.table.nbytes > max_size:
        raise ElmanError(
            f"{option.ngram_max_size} must be at least {math.ceil(merged.table.nbytes / 1e6)} for the counts of the"
            f" model and of the text (got {config.ngram_max_size:g}): raise it, or pass {option.ngram_order:0}"
        )
    return merged


def describe_raised(config: Config, ngrams: NgramModel | None) -> str:
    """Return a sentence if the minimum count of the n-gram prior was raised."""
    if ngrams is None or ngrams.min_count <= config.ngram_min_count:
        return ""
    return (
        f"The n-gram prior contains strings that occur at least {ngrams.min_count} times, not {config.ngram_min_count},"
        f" so that its table has at most {config.ngram_max_size:g} MB ({option.ngram_max_size})."
    )


def create_optimizer(config: Config) -> Optimizer:
    """Return the optimizer; its last update, which a schedule needs, is not set yet."""
    dropout = Dropout(config.dropout, config.dropout_kind == "variational", config.seed)
    settings = vars(config) | {
        "name": config.optimizer,
        "grad_clip": config.grad_clip or math.inf,
        "dropout": dropout if config.dropout else None,
        "weight_dropout": WeightDropout(config.weight_dropout, config.seed) if config.weight_dropout else None,
    }
    return Optimizer(**{each.name: settings[each.name] for each in fields(Optimizer) if each.name in settings})


def describe_start(run: Run, asked: Config) -> tuple[str, ...]:
    """Return what to know about the start of a run: its text, and the settings that are not those asked for."""
    config, data = run.config, run.data
    return tuple(
        filter(
            None,
            (
                data.describe(),
                suggest_field([file.path for file in data.corpus.files], config.field, trains=True),
                describe_changed(vars(config), vars(asked), len(data.windows.indices), run.measured_speed),
                describe_raised(config, run.state.parameters.ngrams),
            ),
        )
    )
