"""How training works, from the text to the end of the run.

`start_run` reads the text, chooses the settings, and builds the network and its state. `train_run` then advances: an
engine makes many updates in one call and returns their losses. Between two calls, the tasks that are due are performed:
each knows after which update it is due next. A resumed run, `elman.training.resume`, joins in `train_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from elman import recipe
from elman.config import Config, replace_settings
from elman.engine import Engine, finish_compiling, get_engine, require_engine
from elman.engine.processes import run_on_first_process
from elman.recipe import DEFAULT_PRESET, PRESETS
from elman.runs.texts import Text, TrainingData, read_run_texts
from elman.runs.writer import RunWriter
from elman.training.advice import advise, outcome_of
from elman.training.callbacks import StoppedEarly, TrainingCallback
from elman.training.checkpoints import Checkpoints, create_directory
from elman.training.health import HealthCheck
from elman.training.initialization import (
    choose_settings,
    compile_ahead,
    create_optimizer,
    describe_start,
    initial_state,
    open_weights,
    require_memory,
)
from elman.training.limits import (
    Stopwatch,
    Timer,
    describe_time,
    find_last_update,
    find_reached_limit,
)
from elman.training.prior import PriorSwitch
from elman.training.records import MetricsRows, Samples, save_plot, update_smooth_loss
from elman.training.run import History, Run
from elman.training.validation import Validation

if TYPE_CHECKING:
    from elman.training.pretrained import InitialWeights, ModelSource


class Task(Protocol):
    """Something that is due now and then in training."""

    def next_update(self, last_update: int) -> float:
        """Return after which update it is due next, if the run ends after `last_update`; infinity for never.

        It is due now if that is not later than the current update.
        """
        ...

    def perform(self, last_update: int) -> None:
        """Do it; the run ends after `last_update`, as far as is known."""
        ...


def start_run(
    directory: RunWriter | None,
    source: Text | None,
    preset: str | None,
    options: Mapping[str, Any],
    init_from: ModelSource | None = None,
    initial: InitialWeights | None = None,
    on_compile: Callable[[], None] = lambda: None,
) -> Run:
    """Return a run before its first update, saved to its directory.

    The arguments are documented in `elman.train`; `options` are the settings that were passed, which an empty preset
    leaves as they are. `on_compile` is called if kernels have to be compiled to measure the speed of the machine.
    """
    # The settings asked for: a preset, changed by the settings that were passed or that the weights imply.
    recorded = DEFAULT_PRESET if preset is None else preset
    chosen = PRESETS[recorded or DEFAULT_PRESET]
    weights = open_weights(init_from, initial)  # None: random ones
    looks = bool(recorded) and chosen.looks and weights is None
    if looks and (options.get("mask") or options.get("mask_regex")):
        options = {"lines": True, **options}
    options = options if weights is None else weights.adopt_settings(options, chosen.settings)
    asked = Config(**replace_settings(chosen.settings, options))
    if limits := recipe.limit_texts(vars(asked), options):
        asked = replace(asked, **limits)
    require_engine(asked)

    # The text decides the rest. Its kind decides how it is read; its length and the machine's speed decide the recipe.
    base = None if weights is None else weights.alphabet
    asked, corpus, validation, kind = read_run_texts(source, asked, base, options if looks else None)
    config, speed = choose_settings(asked, corpus, chosen if recorded else None, options, on_compile)
    data = TrainingData(config, corpus, validation)  # rejects a text that is too short before anything is written
    require_memory(data)

    # The network and its state; the directory is written last, once everything is known to be valid.
    optimizer = create_optimizer(config)
    compile_ahead(data, optimizer)  # in other processes, while the n-grams of the text are counted
    ngrams = None if weights is None else weights.translate_ngrams(data)
    history = History(config, files=None if directory is None else directory.files)
    state = initial_state(data, optimizer, ngrams)
    run = Run(data, state, optimizer, history, directory, preset=recorded, measured_speed=speed, text_kind=kind)
    run.init_from = None if weights is None else weights.initialize(run)
    run.notices = describe_start(run, asked, base)
    create_directory(run)
    return run


def train_run(run: Run, callback: TrainingCallback, stopwatch: Stopwatch) -> None:
    """Train a run until it reaches a limit or the callback asks to stop, and save it."""
    config, total = run.config, find_last_update(run.config, run.data.windows)
    engine = get_engine(config.engine, config.device, config.mixed_precision)
    factor = recipe.alphabet_factor(len(run.corpus.alphabet), config.max_seconds)
    timer = Timer(run.state, config.max_seconds, total, stopwatch, factor)
    run.preparation_seconds = stopwatch.elapsed()

    prior, health = PriorSwitch(run), HealthCheck(run, callback)
    rows, samples = MetricsRows(run, health.losses), Samples(run, callback, health)
    validation = Validation(run, callback, engine, stopwatch, rows, health)
    checkpoints = Checkpoints(run, health)
    # In this order: a validation adds its loss to a row, and another row of the same update is not needed.
    tasks: list[Task] = [health, validation, rows, samples]

    try:
        callback.on_compile()
        finish_compiling()
        perform_due([samples], run, total)
        validation.prepare()
    except StoppedEarly:  # the directory contains the checkpoint that a resumed run starts from
        run.stopped = "interrupted"
        if run.directory is not None:
            run.directory.write_manifest(run.manifest)
        return

    run.stopped = "counts" if config.is_counts_only else ""
    while not run.stopped:
        # Before updates, not after: a run that is stopped here is used and saved without the prior.
        perform_due([prior], run, max(timer.last_update(), run.state.update + 1))
        advance(run, engine, timer, health, [prior, *tasks])
        # Validating and saving take longer on a busy machine, so the end is planned anew after every call.
        timer.reserve(lambda: estimate_rest(timer, validation, checkpoints))
        last_update = timer.last_update()  # fixed for this stop, so that all tasks agree on whether it is the end
        perform_due(tasks, run, last_update)
        callback.on_progress(run, last_update)
        # Under torchrun all processes must stop at the same update.
        asked = run_on_first_process(callback.should_stop)
        run.stopped = find_reached_limit(run, config, last_update) or ("interrupted" if asked else "")
        # At the end `finish` saves, with a last row that a run resumed from here would not have.
        if not run.stopped:
            perform_due([checkpoints], run, last_update)
    rows.perform(total)  # the last row of an interrupted run; it is dropped if the run is resumed
    validation.finish()
    samples.finish()
    timer.finish(run.stopped)
    checkpoints.perform(total)
    finish(run, callback, health, timer)


def perform_due(tasks: Sequence[Task], run: Run, last_update: int) -> None:
    """Perform the tasks that are due now."""
    for task in tasks:
        if task.next_update(last_update) <= run.state.update:
            task.perform(last_update)


def advance(run: Run, engine: Engine, timer: Timer, health: HealthCheck, tasks: Sequence[Task]) -> None:
    """Make the updates up to the next stop: where the first task is due, but a tick later at most, for the display."""
    state, windows = run.state, run.data.windows_of(run.state.epoch)
    last_update = max(timer.last_update(), state.update + 1)
    run.optimizer = replace(run.optimizer, last_update=last_update)  # where the learning rate has decayed
    stops = [state.update + timer.tick, last_update, *(task.next_update(last_update) for task in tasks)]
    if run.config.lines:  # the next epoch has another order
        stops.append((state.epoch + 1) * windows.per_epoch)
    updates = max(1, int(min(stops)) - state.update)
    losses = timer.measure(lambda: engine.advance(state, windows, updates, run.optimizer, health.on_step))
    health.after_call(losses)
    update_smooth_loss(state, losses)


def estimate_rest(timer: Timer, validation: Validation, checkpoints: Checkpoints) -> tuple[float, float]:
    """Return the expected seconds from the last update to the exit, and the seconds of validations per update."""
    at_end, per_update = validation.estimate_seconds(timer.last_update())
    if checkpoints.run.directory is not None and timer.limit is not None:
        at_end += checkpoints.estimate_seconds() + timer.stopwatch.estimate_exit(timer.limit)
    return at_end, per_update


def finish(run: Run, callback: TrainingCallback, health: HealthCheck, timer: Timer) -> None:
    """End a run that is saved: the advice, the warnings, the reason in ``run.json``, and the plot."""
    problem = health.monitor.problem
    is_healthy = run.interrupted or not problem
    run.advice = advise(outcome_of(run)) if is_healthy else f"{problem[0].upper()}{problem[1:]}."
    if warning := describe_time(run, timer.stopwatch, timer.processor_share()):
        callback.on_warning(warning)
    if run.directory is not None:
        run.directory.write_manifest(run.manifest)
    save_plot(run, callback)
