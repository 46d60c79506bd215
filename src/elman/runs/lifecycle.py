"""How a run starts, and how a stopped one is resumed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elman.config import Config, find_preset, make_config, resume_config
from elman.engine import TrainState
from elman.engine.requirements import require_engine
from elman.errors import ElmanError, quote
from elman.network.dropout import Dropout
from elman.network.ngram import Indices, NgramModel, count_training_text
from elman.network.optimizer import Optimizer
from elman.network.parameters import INITIAL_ALPHA
from elman.runs.checkpoint import Checkpoint
from elman.runs.directory import RunDirectory, RunManifest
from elman.runs.fine_tuning import ModelSource, PretrainedModel
from elman.runs.metadata import create_run_metadata
from elman.runs.run import Run, split
from elman.text import Corpus, Windows, check_alphabet_size, read_corpus, replace_rare

Source = str | os.PathLike[str] | Corpus


def start_run(
    directory: RunDirectory | None,
    source: Source,
    preset: str,
    options: Mapping[str, Any],
    init_from: ModelSource | None = None,
) -> Run:
    """Return a run before its first update, saved to its directory.

    With `init_from`, it starts with the weights of that model.

    Raises
    ------
    ElmanError
        If an option, the text or the directory is invalid.
    """
    pretrained = None if init_from is None else PretrainedModel.open(init_from)
    config = make_config(preset, options if pretrained is None else pretrained.adopt_shape(options))
    require_engine(config)
    corpus = _read(source, config)
    check_alphabet_size(corpus, config.hidden_size)
    split(corpus, config)  # rejects a text that is too short before anything is written
    return _create(config, corpus, directory, pretrained)


def _create(
    config: Config, corpus: Corpus, directory: RunDirectory | None, pretrained: PretrainedModel | None = None
) -> Run:
    """Return a run before its first update, and create its directory."""
    state = initial_state(corpus, config, None if pretrained is None else pretrained.counted_text(corpus))
    if pretrained is not None:
        pretrained.initialize(state, corpus.alphabet, create_optimizer(config))
    run = Run(config, corpus, state, directory, init_from=None if pretrained is None else pretrained.origin)
    if directory is not None:
        directory.create(create_run_metadata(run), run.checkpoint)
    return run


def initial_state(corpus: Corpus, config: Config, counted_before: Indices | None = None) -> TrainState:
    """Return the state before the first update; the n-gram prior also counts the text `counted_before`.

    Raises
    ------
    ElmanError
        If there is not enough memory.
    """
    K, m = len(corpus.alphabet), config.hidden_size
    try:
        return TrainState.initial(
            K,
            m,
            config.init_std,
            config.seed,
            config.dtype,
            cell=config.cell,
            layers=config.layers,
            orthogonal=config.init == "orthogonal",
            batch_size=config.batch_size,
            optimizer=create_optimizer(config),
            ngrams=count_ngrams(corpus, config, counted_before),
            alpha=0.0 if config.ngram_start else INITIAL_ALPHA,
        )
    except (MemoryError, ValueError):  # NumPy raises the second where not even the number of bytes fits
        raise ElmanError(
            f"not enough memory for --hidden-size {m} and an alphabet of {K:,} characters; lower --hidden-size"
        ) from None


def count_ngrams(corpus: Corpus, config: Config, before: Indices | None = None) -> NgramModel | None:
    """Return the n-gram model of the training part of a text, after the text `before`; None without a prior."""
    windows, _ = split(corpus, config)
    return count_training_text(
        windows.indices,
        len(corpus.alphabet),
        config.ngram_order,
        config.ngram_discount,
        config.ngram_folds,
        before=before,
    )


def create_optimizer(config: Config) -> Optimizer:
    """Return the optimizer; its last update, which a schedule needs, is not set yet."""
    dropout = Dropout(config.dropout, config.dropout_kind == "variational", config.seed)
    return Optimizer(
        config.learning_rate,
        config.grad_clip,
        name=config.optimizer,
        grad_clip_mode=config.grad_clip_mode,
        beta1=config.beta1,
        beta2=config.beta2,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        warmup=config.warmup,
        ema_decay=config.ema_decay,
        dropout=dropout if config.dropout else None,
        final_lr_fraction=config.final_lr_fraction,
    )


def resume_run(directory: RunDirectory, source: Source, preset: str, options: Mapping[str, Any]) -> Run:
    """Return the run of a directory as its checkpoint left it, or from its start if it was killed before the first.

    Raises
    ------
    ElmanError
        If there is none, or an option or the text differs from the run's.
    """
    saved = _load(directory)
    if saved is None:
        return start_run(directory, source, preset, options)
    find_preset(preset)
    config = resume_config(saved.config, options)
    require_engine(config)
    corpus = _read(source, config)
    _require_same_text(saved, corpus, directory)
    if not isinstance(saved, Checkpoint):
        pretrained = None if saved.init_from is None else PretrainedModel.reopen(saved.init_from)
        return _create(config, corpus, directory, pretrained)
    _check_position(saved, corpus)
    _check_counted_text(saved, corpus)
    run = Run(config, corpus, saved.state, directory, saved.best, saved.best, init_from=directory.init_from())
    if config != saved.config:  # new limits apply even if the run is killed before it saves for the first time
        directory.save(run.checkpoint, run.selected)
    directory.write_metadata(create_run_metadata(run))  # before the loggers are started, which read it
    run.restore_history(*directory.rewind(*_coverage(run)))
    return run


def _load(directory: RunDirectory) -> Checkpoint | RunManifest | None:
    """Return the checkpoint or else the manifest; None if the run was killed before it wrote anything."""
    if not directory.holds_run() and directory.is_empty():
        return None
    if directory.holds_run() or directory.has_manifest():
        directory.lock.acquire()
    if directory.has_manifest() and not directory.holds_run():
        return directory.manifest()
    return directory.load()


def _require_same_text(saved: Checkpoint | RunManifest, corpus: Corpus, directory: RunDirectory) -> None:
    if corpus.sha256 != saved.corpus_sha256:
        raise ElmanError(
            f"the run in {quote(directory.path)} was trained on another text (SHA-256 {saved.corpus_sha256[:12]}…, but "
            f"{quote(corpus.name)} has {corpus.sha256[:12]}…); pass that text or choose another --out"
        )
    if corpus.alphabet != saved.alphabet:
        raise ElmanError(
            f"the text is encoded in an alphabet of {len(corpus.alphabet)} characters, but the run in "
            f"{quote(directory.path)} has its own of {len(saved.alphabet)}; encode the text in that one"
        )


def _check_position(saved: Checkpoint, corpus: Corpus) -> None:
    """Reject a state whose position in the text does not follow from its number of updates."""
    windows, _ = split(corpus, saved.config)
    state, T, per_epoch = saved.state, saved.config.seq_length, windows.per_epoch
    position = ((state.update - 1) % per_epoch + 1) * T if state.update else 0
    epoch = state.update // per_epoch
    if (state.position, state.epoch) != (position, epoch):
        raise ElmanError(
            f"after {state.update} updates a run is at character {position} of epoch {epoch}, but the checkpoint is at "
            f"{state.position} of epoch {state.epoch}; restore a copy or train again"
        )


def _check_counted_text(saved: Checkpoint, corpus: Corpus) -> None:
    """Reject an n-gram prior whose counted text is not where the checkpoint says."""
    ngrams = saved.state.parameters.ngrams
    if ngrams is not None:
        windows, _ = split(corpus, saved.config)
        counted = windows.indices[max(0, ngrams.offset) : ngrams.offset + len(ngrams.text)]
        if not np.array_equal(counted, ngrams.text[max(0, -ngrams.offset) :]):
            raise ElmanError(
                f"the n-gram prior of the checkpoint counts a text that is not the training text from character"
                f" {ngrams.offset} on; restore a copy or train again"
            )


def _coverage(run: Run) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Return whether the checkpoint covers a row of metrics of an update, and whether a sample.

    The records it covers are those of a run that was never stopped: without the row that ended a shorter run.
    """
    windows, _ = split(run.corpus, run.config)
    config, last, end = run.config, run.state.update, last_update(run.config, windows)
    every = validation_every(config, windows)

    def row(update: int) -> bool:
        due = update % config.metrics_every == 0 or (every > 0 and update % every == 0)
        return update <= last and (due or update == last >= end)

    def sample(update: int) -> bool:
        # A checkpoint at update 0 was written before the sample at update 0.
        return update <= last and last > 0 and config.sample_every > 0 and update % config.sample_every == 0

    return row, sample


def last_update(config: Config, windows: Windows) -> int:
    """Return the update that ends the run, unless time or patience ends it before."""
    total = config.epochs * windows.per_epoch
    return min(total, config.max_updates or total)


def validation_every(config: Config, windows: Windows) -> int:
    """Return the number of updates between validations; 0 if nothing is held out."""
    return (config.validate_every or windows.per_epoch) if config.validation else 0


def _read(source: Source, config: Config) -> Corpus:
    if isinstance(source, Corpus):
        return replace_rare(source, config.min_count)
    return read_corpus(source, encoding=config.encoding, min_count=config.min_count)
