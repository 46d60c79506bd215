"""The start of a run: its settings, fitted to the text and the machine, its optimizer and its first state."""

from __future__ import annotations

import math
import string
import time
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from elman import recipe
from elman.config import Config, make_config
from elman.engine import CompilingEngine, TrainState, get_engine, watch_compilation
from elman.engine.processes import current_process
from elman.engine_registry import ENGINES
from elman.errors import ElmanError, format_count, option, quote
from elman.machine import available_memory
from elman.network.dropout import Dropout, WeightDropout
from elman.network.optimizer import Optimizer
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import INITIAL_ALPHA, Architecture, Arrays, Parameters, initial_parameters
from elman.ngram.model import NgramModel
from elman.recipe import Preset
from elman.runs.texts import TrainingData, suggest_field, training_length
from elman.text import Alphabet, Corpus
from elman.text.kinds import describe_kind, describe_min_count
from elman.training.run import Run

if TYPE_CHECKING:
    from elman.training.pretrained import GivenArrays, InitialWeights, ModelSource, PretrainedModel

REFERENCE_SPEED = 160_000
"""Characters per second in training, with the network of preset `minute`, of the machine on which the recipes were
found: two cores of an Intel Xeon with AMX."""
PROBE_ALPHABET, PROBE_CHARS = string.ascii_letters + string.digits, 100_000
"""Alphabet and length of the random text with which the speed of a machine is measured."""
MIN_PROBES, MAX_PROBES, PROBE_SECONDS = 5, 10, 2.0
"""Updates that are measured one by one; the engine tries several numbers of threads in some of them. After so many
seconds, the fewest are enough."""
COUNTING, READING = 3, 4
"""Bytes needed to count and to read the n-grams of a long text: per character, and per byte of the largest table."""


def choose_settings(
    asked: Config, corpus: Corpus, preset: Preset | None, passed: Collection[str], on_compile: Callable[[], None]
) -> tuple[Config, float | None]:
    """Return the settings for a text, and the speed of the machine if they depend on it.

    A preset with a recipe has the settings of the recipe. They are lowered for a text that is too short for them.
    Settings that were `passed` are not changed.
    """
    if asked.is_counts_only:
        passed = ()  # nothing is read in windows if it only counts
    total, n = len(corpus.indices), training_length(corpus, asked)
    if total < recipe.MIN_CHARS and not {"seq_length", "batch_size"} & set(passed):
        has = f"the text has {format_count(total, 'character')}"
        raise ElmanError(f"{has}, but training needs at least {recipe.MIN_CHARS}")
    if not n:
        raise ElmanError(f"{option.validation:{asked.validation}} leaves no characters of {total} to train on")
    budget, speed = None if preset is None or asked.is_counts_only else preset.budget, None
    seconds = budget and (asked.max_seconds or budget)
    if seconds is not None and speed_decides(asked, passed):
        speed = measure_speed(asked, on_compile)
        seconds *= recipe.round_speed(speed)  # a slower machine has a shorter budget of the reference machine
    changes = recipe.fit_to_text(vars(asked), n, total, seconds, passed, len(corpus.alphabet))
    return replace(asked, **changes) if changes else asked, speed


def speed_decides(config: Config, passed: Collection[str]) -> bool:
    """Return whether the settings of the recipe depend on the speed of the machine.

    Without a time budget a run is the same on every machine. The processes of torchrun train together; one cannot try
    updates alone.
    """
    is_long = config.max_seconds is not None and config.max_seconds >= recipe.SHORT_BUDGET
    return is_long and "hidden_size" not in passed and current_process().size == 1


def measure_speed(config: Config, on_compile: Callable[[], None]) -> float:
    """Return the speed of this machine, as a multiple of the speed of the machine on which the recipes were found.

    The time is the processor time of one thread, without the time that it waits for other programs: a network is the
    same whether the machine is busy or not.
    """
    used = {name: getattr(config, name) for name in ("engine", "device", "dtype", "mixed_precision")}
    probe = replace(make_config("minute"), ngram_order=0, validation=0.0, **used)
    text = "".join(np.random.default_rng(0).choice([*PROBE_ALPHABET], PROBE_CHARS))
    data, optimizer = TrainingData(probe, Corpus.from_text(text)), create_optimizer(probe)
    engine, state = get_engine(probe.engine, probe.device, probe.mixed_precision), initial_state(data, optimizer)
    clock = time.perf_counter if ENGINES[config.engine].has_devices else time.thread_time

    def measure() -> float:
        started = clock()
        engine.advance(state, data.windows, 1, optimizer)
        return clock() - started

    with watch_compilation(on_compile):
        measure()
    seconds, ends = list[float](), time.monotonic() + PROBE_SECONDS
    while len(seconds) < (MAX_PROBES if time.monotonic() < ends else MIN_PROBES):
        seconds.append(measure())
    # The shortest time is the one that other programs disturbed least.
    return probe.chars_per_update / min(seconds) / REFERENCE_SPEED


def initial_state(data: TrainingData, optimizer: Optimizer, pretrained: NgramModel | None = None) -> TrainState:
    """Return the state before the first update; the n-gram prior has the counts of a pretrained one as well."""
    config = data.config
    ngrams = count_training_text(data, pretrained)
    net, generator = config.architecture(data.corpus.alphabet), np.random.RandomState(config.seed)
    alpha = 1.0 if config.is_counts_only else 0.0 if config.ngram_start else INITIAL_ALPHA
    # On a busy machine two threads of BLAS wait for one another: the QR factorization of 192 x 192 takes up to 2 s.
    with threadpool_limits(1, "blas"):
        parameters = initial_parameters(
            net, config.init_std, generator, config.dtype,
            orthogonal=config.init == "orthogonal", ngrams=ngrams, alpha=alpha,
        )  # fmt: skip
    return TrainState.initial(parameters, config.seed, config.batch_size, optimizer)


def compile_ahead(data: TrainingData, optimizer: Optimizer) -> None:
    """Begin to compile the kernels of a run while its text is counted."""
    config, net = data.config, data.config.architecture(data.corpus.alphabet)
    engine = get_engine(config.engine, config.device, config.mixed_precision)
    if not isinstance(engine, CompilingEngine):
        return
    zeros = Parameters(net, Arrays({name: np.zeros(shape, config.dtype) for name, shape in net.shapes().items()}))
    state = TrainState.initial(zeros, config.seed, config.batch_size, optimizer)
    engine.start_compiling(state, data.windows, optimizer, config.sample_every > 0, data.validation_set is not None)


def require_memory(data: TrainingData) -> None:
    """Check that the memory that a run needs at least is available, before it is allocated."""
    parts = _estimate_memory(data.config, len(data.corpus.alphabet), len(data.windows.indices))
    total, available = sum(parts.values()), available_memory()
    if total > available:
        (part, remedy), most = max(parts.items(), key=lambda item: item[1])
        needs = f"training needs at least {total / 1e9:,.1f} GB, {most / 1e9:,.1f} GB of them for {part}"
        raise ElmanError(f"not enough memory: {needs}, and {available / 1e9:,.1f} GB are available; {remedy}")


def _estimate_memory(config: Config, K: int, N: int) -> dict[tuple[str, str], int]:
    """Return how many bytes a run allocates at least, by their purpose and the remedy."""
    net = Architecture(K, config.hidden_size, config.cell, config.layers)
    one, two = (sum(map(prod, net._replace(layers=min(n, net.layers)).shapes().values())) for n in (1, 2))
    moments = len(OPTIMIZERS[config.optimizer].moments)
    # The state, the copy of the compiled engine, and the gradients.
    copies = (2 if config.engine == "numba" else 1) * (1 + moments + (config.ema_decay > 0)) + 1
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
        least = f"{math.ceil(merged.table.nbytes / 1e6)} for the counts of the model and of the text"
        remedy = f"(got {config.ngram_max_size:g}): raise it, or pass {option.ngram_order:0}"
        raise ElmanError(f"{option.ngram_max_size} must be at least {least} {remedy}")
    return merged


def describe_raised(config: Config, ngrams: NgramModel | None) -> str:
    """Return a sentence if the minimum count of the n-gram prior was raised."""
    if ngrams is None or ngrams.min_count <= config.ngram_min_count:
        return ""
    strings = f"strings that occur at least {ngrams.min_count} times, not {config.ngram_min_count}"
    size = f"{config.ngram_max_size:g} MB ({option.ngram_max_size})"
    return f"The n-gram prior contains {strings}, so that its table has at most {size}."


def describe_characters(before: Alphabet, after: Alphabet) -> str:
    """Return a sentence on the characters that only one of them has: a model, or the one that is fine-tuned from it."""
    old, new = (each.characters[: len(each) - each.has_unknown] for each in (before, after))
    changes = {"added to": [c for c in new if c not in old], "dropped from": [c for c in old if c not in new]}
    said = [f"{verb} the characters of the model: {quote(''.join(found))}" for verb, found in changes.items() if found]
    return "; ".join(said)


def create_optimizer(config: Config) -> Optimizer:
    """Return the optimizer; its last update, which a schedule needs, is not set yet."""
    dropout = Dropout(config.dropout, config.dropout_kind == "variational", config.seed)
    weight_dropout = WeightDropout(config.weight_dropout, config.seed) if config.weight_dropout else None
    settings = vars(config) | {"name": config.optimizer, "grad_clip": config.grad_clip or math.inf}
    settings |= {"dropout": dropout if config.dropout else None, "weight_dropout": weight_dropout}
    return Optimizer(**{each.name: settings[each.name] for each in fields(Optimizer) if each.name in settings})


def open_weights(init_from: ModelSource | None, initial: InitialWeights | None) -> PretrainedModel | GivenArrays | None:
    """Return the weights that a run starts with; None if they are random."""
    if init_from is not None:
        from elman.training.pretrained import PretrainedModel  # it imports the code that loads a model

        return PretrainedModel.open(init_from)
    if initial is not None:
        from elman.training.pretrained import GivenArrays

        return GivenArrays.open(initial)
    return None


def describe_reading(run: Run) -> tuple[str, ...]:
    """Return the kind of the text, and how it is read for that reason."""
    corpus, kind = run.corpus, run.text_kind
    if kind is not None and kind.settings:
        return describe_kind(kind, corpus), describe_min_count(kind, corpus)
    hint = suggest_field([file.path for file in corpus.files], run.config.field)
    return (hint or ("" if kind is None else describe_kind(kind, corpus)),)


def describe_start(run: Run, asked: Config, base: Alphabet | None = None) -> tuple[str, ...]:
    """Return what to know about the start of a run: its text, and the settings that differ from those asked for.

    `base` is the alphabet of the model that is fine-tuned.
    """
    config, data = run.config, run.data
    if not run.state.parameters.prior.is_off:  # there is none, or one of the model that is fine-tuned
        asked = replace(asked, ngram_start=config.ngram_start)
    notices = (
        data.describe(),
        *describe_reading(run),
        recipe.describe_changed(vars(config), vars(asked), len(data.windows.indices), run.measured_speed),
        describe_raised(config, run.state.parameters.ngrams),
        "" if base is None else describe_characters(base, data.corpus.alphabet),
    )
    return tuple(filter(None, notices))
