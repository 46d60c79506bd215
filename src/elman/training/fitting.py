"""The settings of a run, fitted to its text and to the speed of the machine by the recipe, `elman.recipe`."""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from elman import recipe
from elman.config import Config, make_config
from elman.engine import get_engine, watch_compilation
from elman.engine.processes import current_process
from elman.engine_registry import ENGINES
from elman.errors import ElmanError, format_count, option
from elman.presets import Preset
from elman.runs.texts import TrainingData, training_length
from elman.text import Corpus
from elman.training.initialization import create_optimizer, initial_state

REFERENCE_SPEED = 160_000
"""Characters per second in training, with the network of preset `minute`, of the machine on which the recipes were
found: two cores of an Intel Xeon with AMX."""
PROBE_ALPHABET, PROBE_CHARS = string.ascii_letters + string.digits, 100_000
"""Alphabet and length of the random text with which the speed of a machine is measured."""
MIN_PROBES, MAX_PROBES, PROBE_SECONDS = 5, 10, 2.0
"""Updates that are measured one by one, in some of which the engine tries other numbers of threads, and the seconds
after which the fewest are enough."""


def choose_settings(
    asked: Config, corpus: Corpus, preset: Preset | None, passed: Collection[str], on_compile: Callable[[], None]
) -> tuple[Config, float | None]:
    """Return the settings for a text, and the speed of the machine where they depend on it.

    They are those of the recipe if the preset has one, and if the text is too short for them, lower ones; those that
    were `passed` are not changed.
    """
    if asked.is_counts_only:
        passed = ()  # nothing is read in windows then
    total, n = len(corpus.indices), training_length(corpus, asked)
    if total < recipe.MIN_CHARS and not {"seq_length", "batch_size"} & set(passed):
        raise ElmanError(
            f"the text has {format_count(total, 'character')}, but training needs at least {recipe.MIN_CHARS}"
        )
    has_recipe = preset is not None and preset.has_recipe and not asked.is_counts_only
    speed = measure_speed(asked, on_compile) if has_recipe and speed_decides(asked, passed) else None
    if not n:
        raise ElmanError(f"{option.validation:{asked.validation:g}} leaves no characters of {total} to train on")
    seconds = None
    if has_recipe and preset is not None:
        seconds = (asked.max_seconds or preset.settings["max_seconds"]) * (recipe.round_speed(speed) if speed else 1)
    changes = recipe.fit_to_text(vars(asked), n, total, seconds, passed)
    return replace(asked, **changes) if changes else asked, speed


def speed_decides(config: Config, passed: Collection[str]) -> bool:
    """Return whether the settings of the recipe depend on the speed of the machine.

    Without a time budget a run is the same on every machine. The processes of torchrun train together; one cannot try
    updates alone.
    """
    is_long = config.max_seconds is not None and config.max_seconds >= recipe.SHORT_BUDGET
    return is_long and "hidden_size" not in passed and current_process().size == 1


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
