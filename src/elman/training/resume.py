"""How a run that was stopped or killed is resumed: its directory, its text and its limits are checked first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from elman.config import Config, resume_config
from elman.engine import require_engine
from elman.errors import ElmanError, name_options, quote
from elman.presets import name_preset
from elman.runs.checkpoint import Checkpoint
from elman.runs.data import Text, TrainingData, find_text, read_text, read_validation_text, require_unchanged
from elman.runs.directory import RunDirectory
from elman.runs.metadata import RunManifest
from elman.runs.run import Run
from elman.text import Corpus
from elman.training.fine_tuning import PretrainedModel
from elman.training.limits import describe_extension, describe_reached, last_update, validation_every, was_ended_by
from elman.training.start import create_optimizer, create_run, start_run


def resume_run(directory: RunDirectory, source: Text | None, preset: str | None, options: Mapping[str, Any]) -> Run:
    """Return the run of a directory as its checkpoint left it, or from its start if it was killed before the first.

    One that has reached a limit is left as it is. The arguments are those of `start_run`; by default, the text is read
    from the files that are recorded in ``run.json``.

    Raises
    ------
    ElmanError
        If there is none, or an option, the preset or the text differs from the run's.
    """
    saved = _load(directory)
    if saved is None:
        return start_run(directory, source, preset, options)
    manifest = directory.manifest_if_valid()
    recorded_preset = manifest.preset if manifest else ""
    _require_same_preset(preset, recorded_preset)
    config = _resume_config(saved.config, options)
    require_engine(config)
    data = _read_data(directory, config, source, saved, manifest)
    if not isinstance(saved, Checkpoint):
        pretrained = None if saved.init_from is None else PretrainedModel.reopen(saved.init_from)
        return create_run(data, directory, pretrained, preset=recorded_preset, notices=(data.describe(),))
    _check_position(saved, data)
    _check_counted_text(saved, data)
    run = Run(data, saved.state, create_optimizer(config), directory, saved.best, saved.best, recorded_preset)
    run.init_from, run.notices = manifest.init_from if manifest else None, (data.describe(),)
    if limit := was_ended_by(run, config):
        return _leave_finished(run, saved, limit, was_recorded=bool(manifest and manifest.stopped))
    run.notices += tuple(filter(None, [describe_extension(run, saved.config)]))
    if config != saved.config:  # new limits apply even if the run is killed before it saves for the first time
        directory.save(run.checkpoint, run.selected)
    directory.write_manifest(run.manifest)  # before the loggers are started, which read it
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


def _require_same_preset(preset: str | None, recorded: str) -> None:
    if preset is not None and name_preset(preset) != recorded and recorded:
        raise ElmanError(
            f"cannot change --preset on resume (run: {recorded}, given: {preset}); remove it or choose another --out"
        )


def _resume_config(saved: Config, options: Mapping[str, Any]) -> Config:
    """Return the settings; the validation file may have moved, as its hash must agree."""
    if isinstance(saved.validation, str) and isinstance(options.get("validation"), str | os.PathLike):
        saved = replace(saved, validation=options["validation"])
    return resume_config(saved, options)


# --- The text ---


def _read_data(
    directory: RunDirectory,
    config: Config,
    source: Text | None,
    saved: Checkpoint | RunManifest,
    manifest: RunManifest | None,
) -> TrainingData:
    """Return the texts of the run, which must be the same as before."""
    name = f"the run in {quote(directory.path)}"
    if source is None:
        files = find_text(manifest, name)
        assert manifest is not None
        corpus = replace(read_text(files, config), name=manifest.corpus.name)
        require_unchanged(manifest, corpus, name)
    else:
        corpus = read_text(source, config)
    _require_same_text(saved, corpus, name)
    if not corpus.files and manifest is not None:  # a text in memory; the run is found again from its files
        corpus = replace(corpus, files=(*manifest.corpus.files,))
    validation_sha256 = manifest.validation.sha256 if manifest and manifest.validation else ""
    return TrainingData(config, corpus, read_validation_text(config, corpus, validation_sha256))


def _require_same_text(saved: Checkpoint | RunManifest, corpus: Corpus, run: str) -> None:
    if corpus.sha256 != saved.corpus_sha256:
        raise ElmanError(
            f"{run} was trained on another text (SHA-256 {saved.corpus_sha256[:12]}…, but {quote(corpus.name)} has"
            f" {corpus.sha256[:12]}…); pass that text or choose another --out"
        )
    if corpus.alphabet != saved.alphabet:
        raise ElmanError(
            f"the text is encoded in an alphabet of {len(corpus.alphabet)} characters, but {run} has its own of"
            f" {len(saved.alphabet)}; encode the text in that one"
        )


def _check_position(saved: Checkpoint, data: TrainingData) -> None:
    """Reject a state whose position in the text does not follow from its number of updates."""
    state, T, per_epoch = saved.state, saved.config.seq_length, data.windows.per_epoch
    position = ((state.update - 1) % per_epoch + 1) * T if state.update else 0
    epoch = state.update // per_epoch
    if (state.position, state.epoch) != (position, epoch):
        raise ElmanError(
            f"after {state.update} updates a run is at character {position} of epoch {epoch}, but the checkpoint is at "
            f"{state.position} of epoch {state.epoch}; restore a copy or train again"
        )


def _check_counted_text(saved: Checkpoint, data: TrainingData) -> None:
    """Reject an n-gram prior whose counted text is not where the checkpoint says."""
    ngrams = saved.state.parameters.ngrams
    if ngrams is not None:
        counted = data.windows.indices[max(0, ngrams.offset) : ngrams.offset + len(ngrams.text)]
        if not np.array_equal(counted, ngrams.text[max(0, -ngrams.offset) :]):
            raise ElmanError(
                f"the n-gram prior of the checkpoint counts a text that is not the training text from character"
                f" {ngrams.offset} on; restore a copy or train again"
            )


# --- The records ---


def _leave_finished(run: Run, saved: Checkpoint, limit: str, *, was_recorded: bool) -> Run:
    """Return a run that has nothing to do, as it was at its end."""
    directory, update = run.directory, run.state.update
    assert directory is not None
    run.restore_history(*directory.rewind(lambda row: row <= update, lambda sample: sample <= update))
    run.selected = None if saved.best is None and saved.last_loss is None else saved.selected
    directory.save_selected(saved, run.selected)  # if it was killed between the two writes of its last save
    run.stopped, run.was_finished, run.advice = limit, True, name_options(describe_reached(run, limit))
    if not was_recorded:  # it was killed before it wrote why it ended
        directory.write_manifest(run.manifest)
    run.notices += (run.advice,)
    return run


def _coverage(run: Run) -> tuple[Callable[[int], bool], Callable[[int], bool]]:
    """Return whether the checkpoint covers a row of metrics of an update, and whether a sample.

    The records it covers are those of a run that was never stopped: without the row that ended a shorter run.
    """
    config, last = run.config, run.state.update
    end, every = last_update(config, run.data.windows), validation_every(config, run.data.windows)

    def row(update: int) -> bool:
        due = update % config.metrics_every == 0 or (every > 0 and update % every == 0)
        return update <= last and (due or update == last >= end)

    def sample(update: int) -> bool:
        # A checkpoint at update 0 was written before the sample at update 0.
        return update <= last and last > 0 and config.sample_every > 0 and update % config.sample_every == 0

    return row, sample
