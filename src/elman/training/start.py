"""How a run starts: its settings, fitted to its text, its state before the first update, and its directory."""

from __future__ import annotations

import math
import os
import string
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from elman.config import Config, make_config
from elman.engine import TrainState, get_engine, require_engine, start_compiling, watch_compilation
from elman.engine.processes import current_process
from elman.engine_registry import ENGINES
from elman.errors import ElmanError, format_count, option
from elman.machine import available_memory
from elman.model.loading import fingerprint
from elman.network.dropout import Dropout, WeightDropout
from elman.network.optimizer import Optimizer
from elman.network.optimizers import OPTIMIZERS
from elman.network.parameters import INITIAL_ALPHA, Architecture, Arrays, Parameters, initial_parameters
from elman.ngram.model import NgramModel
from elman.presets import DEFAULT_PRESET, MIN_CHARS, PRESETS, SHORT_BUDGET, choose_recipe, choose_text_limits
from elman.runs.data import Text, TrainingData, read_text, read_validation_text, suggest_field, training_length
from elman.runs.directory import RunDirectory
from elman.runs.manifest import ModelOrigin
from elman.storage import make_absolute
from elman.text import Corpus, check_alphabet_size
from elman.text.sources import BUILTIN_CORPORA
from elman.training.run import Run

if TYPE_CHECKING:
    from elman.training.fine_tuning import ModelSource
    from elman.training.initial_weights import InitialWeights

REFERENCE_SPEED = 160_000
"""Characters per second in training, with the network of preset `minute`, of the machine on which the recipes were
found: two cores of an Intel Xeon with AMX."""
PROBE_ALPHABET, PROBE_CHARS = string.ascii_letters + string.digits, 100_000
"""Alphabet and length of the random text with which the speed of a machine is measured."""
MIN_PROBES, MAX_PROBES, PROBE_SECONDS = 5, 10, 2.0
"""Updates that are measured one by one, in some of which the engine tries other numbers of threads, and the seconds
after which the fewest are enough."""
CHANGED = (
    "hidden_size", "layers", "optimizer", "learning_rate", "dropout", "weight_decay", "batch_size", "seq_length",
    "ngram_start",
)  # fmt: skip
"""Settings that a notice reports where the text changes them; the last only where there is a prior."""
WINDOWS = 4
"""Windows per epoch of a short text, if it has enough characters."""
COUNTING, READING = 3, 4
"""Bytes in which the n-grams of a long text are counted and read, per character, and per byte of the largest table."""
UNLIMITED = 1_000_000
"""Epochs of a run that is limited by updates."""


def start_run(
    directory: RunDirectory | None,
    source: Text | None,
    preset: str | None,
    options: Mapping[str, Any],
    init_from: ModelSource | None = None,
    initial: InitialWeights | None = None,
    on_compile: Callable[[], None] = lambda: None,
) -> Run:
    """Return a run before its first update, saved to its directory.

    The arguments are those of `elman.train`; `options` are the settings that were passed, which an empty preset leaves
    as they are. `on_compile` is called if kernels have to be compiled to measure the speed of the machine.
    """
    recorded = DEFAULT_PRESET if preset is None else preset
    pretrained, weights = None, None
    if initial is not None:
        from elman.training.initial_weights import adopt_size, read_initial_weights, set_initial_weights

        weights = read_initial_weights(initial)
        options = adopt_size(weights, options)
    if init_from is not None:
        from elman.training.fine_tuning import PretrainedModel

        pretrained = PretrainedModel.open(init_from)
        given, options = options, pretrained.adopt_shape(options)
        check_kinds(make_config(recorded or DEFAULT_PRESET, given), make_config(recorded or DEFAULT_PRESET, options))
    preset_config = limit_texts(make_config(recorded or DEFAULT_PRESET, options), options)
    require_engine(preset_config)
    if source is None:
        raise ElmanError(f"the text is missing: use a file or a built-in text ({', '.join(BUILTIN_CORPORA)})")
    corpus = read_text(source, preset_config)
    check_alphabet_size(corpus, preset_config.hidden_size)
    validation = read_validation_text(preset_config, corpus)
    passed = {} if preset_config.is_counts_only else options  # nothing is read in windows then
    if len(corpus.indices) < MIN_CHARS and not {"seq_length", "batch_size"} & set(passed):
        raise ElmanError(
            f"the text has {format_count(len(corpus.indices), 'character')}, but training needs at least {MIN_CHARS}"
        )
    speed = measure_speed(preset_config, on_compile) if speed_decides(preset_config, recorded, options) else None
    config = fit_to_text(preset_config, recorded, corpus, passed, speed)
    data = TrainingData(config, corpus, validation)  # rejects a text that is too short before anything is written
    optimizer = create_optimizer(config)
    require_memory(data)
    spec = config.architecture(corpus.alphabet).ngram_spec
    compile_ahead(data, optimizer)
    ngrams = None if pretrained is None else pretrained.translate_ngrams(corpus.alphabet, spec)
    state = initial_state(data, optimizer, ngrams)
    if pretrained is not None:
        pretrained.initialize(state, corpus.alphabet, optimizer)
    if weights is not None:
        set_initial_weights(state, weights, optimizer)
    run = Run(data, state, optimizer, directory, preset=recorded, measured_speed=speed)
    if pretrained is not None:
        run.init_from = pretrained.origin
    elif weights is not None:
        path = make_absolute(initial) if isinstance(initial, str | os.PathLike) else None
        run.init_from = ModelOrigin(path, fingerprint(run.model).hex())
    changed = describe_changed(config, preset_config, len(data.windows.indices), speed)
    raised = describe_raised(config, state.parameters.ngrams)
    of_records = suggest_field([file.path for file in corpus.files], config.field, trains=True)
    run.notices = tuple(filter(None, [data.describe(), of_records, changed, raised]))
    if directory is not None:
        started = time.monotonic()
        directory.create(run.manifest, run.checkpoint)
        run.file_seconds = time.monotonic() - started
    return run


def check_kinds(of_preset: Config, of_model: Config) -> None:
    """Check that counts are continued as counts, and a network as a network."""
    if of_model.is_counts_only and not of_preset.is_counts_only:
        raise ElmanError(f"{option.init_from} is a model of counts: add {option.preset:counts}")
    if of_preset.is_counts_only and not of_model.is_counts_only:
        raise ElmanError(f"{option.init_from} is a model with a network, which {option.preset:counts} does not train")


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


def limit_texts(config: Config, passed: Collection[str]) -> Config:
    """Return the settings of a run with the characters of its texts that its time budget is enough for.

    They do not depend on the speed of the machine, so that the run can be repeated. Those `passed` are not changed.
    """
    if config.max_seconds is None:
        return config
    limits: dict[str, Any] = {**choose_text_limits(config.max_seconds)}
    if config.max_chars is not None:
        limits["max_chars"] = config.max_chars
    if "validation_chars" in passed or config.validation_chars < limits["validation_chars"]:
        limits["validation_chars"] = config.validation_chars
    return replace(config, **limits)


def fit_to_text(
    config: Config, preset: str, corpus: Corpus, passed: Collection[str], speed: float | None = None
) -> Config:
    """Return the settings for a text: those of the recipe, and if it is too short for them, lower ones.

    `preset` is the one that the settings come from, or an empty string; those that were `passed` are not changed.
    `speed` is that of the machine, where it was measured.
    """
    n = training_length(corpus, config)
    if not n:
        total = len(corpus.indices)
        raise ElmanError(f"{option.validation:{config.validation:g}} leaves no characters of {total} to train on")
    if preset and PRESETS[preset].has_recipe and not config.is_counts_only:
        seconds = config.max_seconds or PRESETS[preset].settings["max_seconds"]
        config = follow_recipe(config, n, seconds if speed is None else seconds * round_speed(speed), passed)
    held_out = len(corpus.indices) - n if config.validation_fraction else None
    T, B = config.seq_length, config.batch_size
    enough = WINDOWS if B > 1 and "batch_size" not in passed else 1
    if n > enough * B * T and (held_out is None or held_out > T):
        return config
    if len(corpus.indices) < MIN_CHARS:
        return config
    if "seq_length" not in passed and held_out is not None:
        T = min(T, max(1, held_out - 1))
    if "batch_size" not in passed:
        B = min(B, max(1, (n - 1) // (WINDOWS * T)))
    if "seq_length" not in passed:
        T = min(T, max(1, (n - 1) // (WINDOWS * B)))
    return replace(config, seq_length=T, batch_size=B)


def follow_recipe(config: Config, n: int, seconds: float, passed: Collection[str]) -> Config:
    """Return the settings of the recipe for n characters and a time budget, but those passed."""
    recipe = choose_recipe(n, seconds, {name: getattr(config, name) for name in passed})
    if config.max_updates is not None and config.max_seconds is None and "epochs" in recipe:
        recipe["epochs"] = UNLIMITED
    return replace(config, **recipe)


def speed_decides(config: Config, preset: str, passed: Collection[str]) -> bool:
    """Return whether the settings of the recipe depend on the speed of the machine.

    Without a time budget a run is the same on every machine. The processes of torchrun train together; one cannot try
    updates alone.
    """
    is_long = config.max_seconds is not None and config.max_seconds >= SHORT_BUDGET
    has_recipe = bool(preset) and PRESETS[preset].has_recipe
    return has_recipe and is_long and "hidden_size" not in passed and current_process().size == 1


def measure_speed(config: Config, on_compile: Callable[[], None]) -> float:
    """Return the speed of this machine, as a multiple of that of the one on which the recipes were found.

    What counts is how long one of the threads runs, not how long it waits while other programs do: a network is the
    same whether the machine is busy or not.
    """
    probe = replace(
        make_config("minute"),
        engine=config.engine,
        device=config.device,
        dtype=config.dtype,
        mixed_precision=config.mixed_precision,
        ngram_order=0,
        validation=0.0,
    )
    text = "".join(np.random.default_rng(0).choice([*PROBE_ALPHABET], PROBE_CHARS))
    data, optimizer = TrainingData(probe, Corpus.from_text(text)), create_optimizer(probe)
    engine, state = get_engine(probe.engine, probe.device, probe.mixed_precision), initial_state(data, optimizer)
    clock = time.perf_counter if ENGINES[config.engine].has_devices else time.thread_time
    with watch_compilation(on_compile):
        engine.advance(state, data.windows, 1, optimizer)
    seconds, ends = list[float](), time.monotonic() + PROBE_SECONDS
    while len(seconds) < (MAX_PROBES if time.monotonic() < ends else MIN_PROBES):
        started = clock()
        engine.advance(state, data.windows, 1, optimizer)
        seconds.append(clock() - started)
    # The least is disturbed least by other programs.
    return probe.chars_per_update / min(seconds) / REFERENCE_SPEED


def round_speed(speed: float) -> float:
    """Return the nearest power of the square root of 2, so that repeated runs mostly have the same network."""
    return float(2 ** (round(2 * math.log2(speed)) / 2))


def describe_changed(config: Config, preset: Config, n: int, speed: float | None = None) -> str:
    """Return which settings of a preset were changed for a training text of n characters; empty if none was."""
    titles = {
        "hidden_size": "hidden units",
        "seq_length": "sequence length",
        "ngram_start": "start of the n-gram prior",
    }
    changed = []
    for name in CHANGED if config.ngram_order else CHANGED[:-1]:
        value, before = getattr(config, name), getattr(preset, name)
        if value != before:
            changed.append(f"{titles.get(name, name.replace('_', ' '))} {_format(value)} instead of {_format(before)}")
    if not changed:
        return ""
    if config.epochs < preset.epochs:
        changed.append(f"at most {format_count(config.epochs, 'epoch')}")
    budget = "" if config.max_seconds is None else f" and {config.max_seconds:g} s"
    machine = "" if speed is None else f", on a machine {speed:.2f} times as fast as that of the presets"
    return f"for {n:,} characters of training text{budget}{machine}: {', '.join(changed)}"


def _format(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}"
