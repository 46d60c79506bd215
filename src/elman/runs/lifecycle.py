"""How a run starts, and how a stopped one is resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from elman.config import Config, current_names, make_config, resume_config
from elman.engine import TrainState
from elman.engine.requirements import require_engine
from elman.errors import ElmanError, name_options, quote, shorten
from elman.network.dropout import Dropout, WeightDropout
from elman.network.ngram import Indices, NgramModel, count_training_text
from elman.network.optimizer import Optimizer
from elman.network.parameters import INITIAL_ALPHA
from elman.presets import DEFAULT_PRESET, name_preset
from elman.runs.checkpoint import Checkpoint, reset_at
from elman.runs.directory import RunDirectory, RunManifest
from elman.runs.fine_tuning import ModelSource, PretrainedModel
from elman.runs.limits import describe_reached, describe_schedule, estimate_end, reached_limit
from elman.runs.metadata import create_run_metadata
from elman.runs.recorded_text import RecordedText, find_text, read_recorded_text, require_unchanged
from elman.runs.run import Run, split
from elman.runs.short_text import describe_changed, fit_to_text
from elman.runs.validation_text import read_validation_text, use_absolute_path
from elman.text import Alphabet, Corpus, Source, Windows, check_alphabet_size, read_corpus
from elman.text.lines import shuffle_corpus

Text = Source | Sequence[Source] | Corpus
"""What the text of a run is read from, see `elman.text.read_corpus`."""

DEFAULT_TEXT = "python-docs"


def start_run(
    directory: RunDirectory | None,
    source: Text | None,
    preset: str | None,
    options: Mapping[str, Any],
    init_from: ModelSource | None = None,
) -> Run:
    """Return a run before its first update, saved to its directory.

    Parameters
    ----------
    directory : RunDirectory or None
    source : Text, optional
        By default the built-in text ``python-docs``.
    preset : str, optional
        By default `DEFAULT_PRESET`.
    options : mapping
        The settings that were passed.
    init_from : path, Run or Model, optional
        The model whose weights it starts with.

    Raises
    ------
    ElmanError
        If an option, the text or the directory is invalid.
    """
    options = use_absolute_path(current_names(options))
    recorded = "" if preset is None and has_every_setting(options) else name_preset(preset or DEFAULT_PRESET)
    pretrained = None if init_from is None else PretrainedModel.open(init_from)
    preset_config = config = make_config(
        recorded or DEFAULT_PRESET, options if pretrained is None else pretrained.adopt_shape(options)
    )
    require_engine(config)
    corpus = _read(DEFAULT_TEXT if source is None else source, config)
    check_alphabet_size(corpus, config.hidden_size)
    validation = read_validation_text(config, corpus)
    config = fit_to_text(config, recorded, corpus, options)
    split(corpus, config, validation)  # rejects a text that is too short before anything is written
    notices = (describe_texts(corpus, validation), describe_changed(config, preset_config, corpus))
    about = {"validation": validation, "preset": recorded, "notices": tuple(filter(None, notices))}
    return _create(config, corpus, directory, pretrained, about)


def describe_texts(corpus: Corpus, validation: Corpus | None = None) -> str:
    """Return which text a run is trained on, and how long it is."""
    name = {"-": "standard input"}.get(corpus.name, corpus.name)
    files = [f"{len(corpus.files):,} files"] if len(corpus.files) > 1 else []
    files += [f"{corpus.skipped:,} binary file{'s' if corpus.skipped > 1 else ''} skipped"] if corpus.skipped else []
    about = f" ({'; '.join(files)})" if files else ""
    held_out = (
        "" if validation is None else f"; validation on {validation.name}: {len(validation.indices):,} characters"
    )
    return (
        f"training on {shorten(name)}{about}: {len(corpus.indices):,} characters,"
        f" {len(corpus.alphabet):,} distinct{held_out}"
    )


def _create(
    config: Config,
    corpus: Corpus,
    directory: RunDirectory | None,
    pretrained: PretrainedModel | None,
    about: Mapping[str, Any],
) -> Run:
    """Return a run before its first update, and create its directory; `about` are other fields of `Run`."""
    state = initial_state(corpus, config, None if pretrained is None else pretrained.counted_text(corpus))
    if pretrained is not None:
        pretrained.initialize(state, corpus.alphabet, create_optimizer(config))
    run = Run(config, corpus, state, directory, init_from=None if pretrained is None else pretrained.origin, **about)
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
            reset_at=reset_at(corpus.alphabet, config),
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
        reset_at=reset_at(corpus.alphabet, config),
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
        weight_dropout=WeightDropout(config.weight_dropout, config.seed) if config.weight_dropout else None,
    )


def resume_run(directory: RunDirectory, source: Text | None, preset: str | None, options: Mapping[str, Any]) -> Run:
    """Return the run of a directory as its checkpoint left it, or from its start if it was killed before the first.

    One that has reached a limit is left as it is.

    Parameters
    ----------
    directory : RunDirectory
    source : Text, optional
        By default the files that are recorded in ``run.json``.
    preset : str, optional
        By default the preset of the run.
    options : mapping
        The settings that were passed.

    Raises
    ------
    ElmanError
        If there is none, or an option, the preset or the text differs from the run's.
    """
    saved = _load(directory)
    if saved is None:
        return start_run(directory, source, preset, options)
    recorded = read_recorded_text(directory)
    _require_same_preset(preset, recorded, directory)
    options = use_absolute_path(current_names(options))
    settings = saved.config
    if isinstance(settings.validation, str) and isinstance(options.get("validation"), str):
        settings = replace(settings, validation=options["validation"])  # the file may have moved; its hash must agree
    config = resume_config(settings, options)
    require_engine(config)
    if source is None:
        corpus = replace(_read(find_text(recorded, directory), config, saved.alphabet), name=recorded.name)
        require_unchanged(recorded, corpus, directory)
    else:
        corpus = _read(source, config, saved.alphabet)
    _require_same_text(saved, corpus, directory)
    if not corpus.files and recorded.files:  # a text in memory; the run is found again from its files
        corpus = replace(corpus, files=recorded.files)
    validation = read_validation_text(config, corpus, recorded.validation_sha256)
    about: dict[str, Any] = {
        "validation": validation,
        "preset": recorded.preset,
        "notices": (describe_texts(corpus, validation),),
    }
    if not isinstance(saved, Checkpoint):
        pretrained = None if saved.init_from is None else PretrainedModel.reopen(saved.init_from)
        return _create(config, corpus, directory, pretrained, about)
    _check_position(saved, corpus)
    _check_counted_text(saved, corpus)
    about["init_from"] = directory.init_from()
    run = Run(config, corpus, saved.state, directory, saved.best, saved.best, **about)
    windows, _ = split(corpus, config)
    end, every = last_update(config, windows), validation_every(config, windows)
    if limit := reached_limit(run, config, end, every):
        return _leave_finished(run, saved, limit, recorded.stopped)
    run.notices += _describe_extension(run, saved.config, estimate_end(run, config, end), windows)
    if config != saved.config:  # new limits apply even if the run is killed before it saves for the first time
        directory.save(run.checkpoint, run.selected)
    directory.write_metadata(create_run_metadata(run))  # before the loggers are started, which read it
    run.restore_history(*directory.rewind(*_coverage(run)))
    return run


def _require_same_preset(preset: str | None, recorded: RecordedText, directory: RunDirectory) -> None:
    if preset is None:
        return
    if name_preset(preset) != recorded.preset and recorded.preset:
        raise ElmanError(
            f"cannot change --preset on resume (run: {recorded.preset}, given: {preset}); remove it or choose another"
            " --out"
        )


def _leave_finished(run: Run, saved: Checkpoint, limit: str, recorded: str) -> Run:
    """Return a run that has nothing to do, as it was at its end."""
    directory, update = run.directory, run.state.update
    assert directory is not None
    run.restore_history(*directory.rewind(lambda row: row <= update, lambda sample: sample <= update))
    run.selected = None if saved.best is None and saved.last_loss is None else saved.selected
    directory.complete_save(saved, run.selected)
    run.stopped, run.was_finished, run.advice = limit, True, name_options(describe_reached(run, limit))
    if not recorded:  # it was killed before it wrote why it ended
        directory.write_metadata(create_run_metadata(run))
    run.notices += (run.advice,)
    return run


def _describe_extension(run: Run, saved: Config, end: int, windows: Windows) -> tuple[str, ...]:
    """Return what the learning rate does if the run had reached a limit and is extended."""
    if not reached_limit(run, saved, last_update(saved, windows), validation_every(saved, windows)):
        return ()
    notice = describe_schedule(run.config, create_optimizer(run.config), run.state.update, end)
    return (notice,) if notice else ()


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


def _read(source: Text, config: Config, alphabet: Alphabet | None = None) -> Corpus:
    """Read the text of a run, which has this alphabet if it is resumed; older runs of lines kept carriage returns."""
    lines = config.lines and (alphabet is None or "\r" not in alphabet.characters)
    corpus = read_corpus(source, encoding=config.encoding, min_count=config.min_count, lines=lines)
    return shuffle_corpus(corpus, config.seed) if config.lines else corpus


def has_every_setting(options: Mapping[str, Any]) -> bool:
    """Return whether options leave nothing to a preset; the encoding belongs to the text."""
    return {setting.name for setting in fields(Config)} <= options.keys() | {"encoding"}
