"""How a run begins, and how one that stopped is taken up again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from elman.config import ADJUSTABLE, LIMITS, Config, flag, lift_limits, make_config, refuse_unknown
from elman.engine import TrainState
from elman.errors import ElmanError
from elman.network.dropout import Dropout
from elman.network.optimizer import Optimizer
from elman.runs.checkpoint import Checkpoint
from elman.runs.metadata import describe
from elman.runs.records import Beginning, RunDirectory
from elman.runs.run import Run, split
from elman.text import Corpus, Windows, check_alphabet_size, read_corpus, replace_rare

Source = str | os.PathLike[str] | Corpus


def begin(directory: RunDirectory | None, source: Source, preset: str, options: Mapping[str, Any]) -> Run:
    """Return a run before its first update, written to its directory.

    Raises
    ------
    ElmanError
        If an option, the text or the directory does not fit.
    """
    config = make_config(preset, options)
    corpus = _read(source, config)
    check_alphabet_size(corpus, config.hidden_size)
    split(corpus, config)  # refuses a text that is too short before anything is written
    return _written(Run(config, corpus, first_state(len(corpus.alphabet), config), directory))


def _written(run: Run) -> Run:
    """Return a run before its first update, after having begun its directory."""
    if run.directory is not None:
        run.directory.create(describe(run), run.checkpoint)
    return run


def first_state(K: int, config: Config) -> TrainState:
    """Return the state before the first update.

    Raises
    ------
    ElmanError
        If there is no memory for it.
    """
    m = config.hidden_size
    try:
        return TrainState.initial(
            K,
            m,
            config.init_std,
            config.random_state,
            config.dtype,
            cell=config.cell,
            layers=config.layers,
            orthogonal=config.init == "orthogonal",
            batch_size=config.batch_size,
            optimizer=rule_of(config),
        )
    except (MemoryError, ValueError):  # NumPy says the second where not even the number of bytes fits
        raise ElmanError(f"there is no memory for a network of K = {K} and m = {m}: lower --hidden-size") from None


def rule_of(config: Config) -> Optimizer:
    """Return how an update is made, but for when the run ends."""
    dropout = Dropout(config.dropout, config.dropout_kind == "variational", config.random_state)
    return Optimizer(
        config.learning_rate,
        config.clip,
        name=config.optimizer,
        clip_by=config.clip_by,
        beta1=config.beta1,
        beta2=config.beta2,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        warmup=config.warmup,
        averaging=config.averaging,
        dropout=dropout if config.dropout else None,
        final_rate=config.final_rate,
    )


def resume_run(directory: RunDirectory, source: Source, preset: str, options: Mapping[str, Any]) -> Run:
    """Return the run of a directory as its checkpoint left it, or from its start where it was killed before the first.

    Raises
    ------
    ElmanError
        If there is none, or an option or the text is not its own.
    """
    saved = _saved(directory)
    if saved is None:
        return begin(directory, source, preset, options)
    refuse_unknown(preset, options)
    settings = saved.config.as_dict()
    if LIMITS & options.keys():
        lift_limits(settings)
    config = Config(**settings | dict(options))
    differing = [
        f"{flag(name)} is {getattr(saved.config, name)} there and {value} here"
        for name, value in options.items()
        if name not in ADJUSTABLE and value != getattr(saved.config, name)
    ]
    if differing:
        raise ElmanError(f"a run goes on with its own settings, and {'; '.join(differing)}: leave these out")
    corpus = _read(source, config)
    if corpus.sha256 != saved.corpus_sha256:
        raise ElmanError(
            f"the run in {str(directory.path)!r} was trained on another text (SHA-256 {saved.corpus_sha256[:12]}…, and "
            f"{corpus.name!r} has {corpus.sha256[:12]}…): give that text, or choose another --out"
        )
    if corpus.alphabet != saved.alphabet:
        raise ElmanError(
            f"the text is encoded in an alphabet of {len(corpus.alphabet)} characters, and the run in "
            f"{str(directory.path)!r} in its own of {len(saved.alphabet)}: read the text with that one"
        )
    if not isinstance(saved, Checkpoint):
        return _written(Run(config, corpus, first_state(len(corpus.alphabet), config), directory))
    _check_place(saved, corpus)
    run = Run(config, corpus, saved.state, directory, saved.best, saved.best)
    if config != saved.config:  # other limits hold even if the run is killed before it saves for the first time
        directory.save(run.checkpoint, run.kept)
    run.begin_with(*directory.rewind(*_covered(run)))
    directory.describe(describe(run))
    return run


def _saved(directory: RunDirectory) -> Checkpoint | Beginning | None:
    """Return what there is of a run to go on with; None where it was killed before anything was known of it."""
    if not directory.holds_run() and directory.is_blank():
        return None
    if directory.holds_run() or directory.was_begun():
        directory.writer.take()
    if directory.was_begun() and not directory.holds_run():
        return directory.beginning()
    return directory.load()


def _check_place(saved: Checkpoint, corpus: Corpus) -> None:
    """Refuse a state whose place in the text is not where so many updates lead."""
    windows, _ = split(corpus, saved.config)
    state, T, per_epoch = saved.state, saved.config.seq_length, windows.per_epoch
    position = ((state.update - 1) % per_epoch + 1) * T if state.update else 0
    if (state.position, state.epoch) != (position, state.update // per_epoch):
        raise ElmanError(
            f"after {state.update} updates a run is at character {position} of a stream, and the checkpoint says "
            f"{state.position} in epoch {state.epoch}: restore a copy of it, or train again"
        )


def _covered(run: Run) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Of which updates the checkpoint covers a row of metrics, and of which a sample.

    They are those of a run that was never stopped. The row that ended a shorter run has no place in a longer one.
    """
    windows, _ = split(run.corpus, run.config)
    config, last, end = run.config, run.state.update, last_update(run.config, windows)
    every = validation_every(config, windows)

    def row(update: int) -> bool:
        due = update % config.metrics_every == 0 or (every > 0 and update % every == 0)
        return update <= last and (due or update == last >= end)

    def sample(update: int) -> bool:
        # A checkpoint at update 0 was written before the sample there.
        return update <= last and last > 0 and config.sample_every > 0 and update % config.sample_every == 0

    return row, sample


def last_update(config: Config, windows: Windows) -> int:
    """Return the update that ends the run, where neither time nor patience ends it before."""
    in_all = config.epochs * windows.per_epoch
    return min(in_all, config.max_updates or in_all)


def validation_every(config: Config, windows: Windows) -> int:
    """Return the updates between two scores of the text kept aside; 0 where there is none."""
    return (config.validate_every or windows.per_epoch) if config.validation else 0


def _read(source: Source, config: Config) -> Corpus:
    if isinstance(source, Corpus):
        return replace_rare(source, config.rare)
    return read_corpus(source, encoding=config.encoding, min_count=config.rare)
