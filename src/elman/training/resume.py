"""How a run that was stopped or killed is resumed: its directory, its text and its limits are checked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elman.config import Config, resume_config
from elman.engine import require_engine
from elman.errors import ElmanError, option, quote
from elman.ngram.model import NgramModel, ngram_tensors
from elman.runs.checkpoint import Checkpoint
from elman.runs.directory import METRICS, SAMPLES, RunDirectory, RunManifest
from elman.runs.history import Metrics, Sample
from elman.runs.loggers import LOGGERS
from elman.runs.texts import Text, TrainingData, find_text, read_text, read_validation_text, require_unchanged
from elman.runs.writer import RunWriter, require_free
from elman.training.initialization import count_training_text, create_optimizer, require_memory
from elman.training.limits import describe_extension, describe_reached, was_ended_by
from elman.training.loop import start_run
from elman.training.records import due_rows, next_row
from elman.training.run import History, Run, make_checkpoint


def resume_run(directory: RunWriter, source: Text | None, preset: str | None, options: Mapping[str, Any]) -> Run:
    """Return the run of a directory as its checkpoint left it, or a new run if it was killed before the first one.

    A run that has reached a limit is left as it is. The arguments are documented in `start_run`; by default, the text
    is read from the files that are recorded in ``run.json``. Options, preset and text must be the run's, except for
    its limits.
    """
    files = directory.files
    if files.is_empty():
        return start_run(directory, source, preset, options)
    if files.holds_run():
        directory.lock.acquire()
    saved, manifest = files.load(), files.manifest_if_valid()
    saved = replace(saved, config=_find_validation(saved.config, manifest, options))
    recorded = preset or "" if manifest is None else manifest.preset
    if manifest is not None:
        require_free(directory.path, [LOGGERS[name].target for name in directory.log if name not in manifest.log])
    if preset and recorded and preset != recorded:
        given = f"(run: {recorded}, given: {preset})"
        raise ElmanError(f"cannot change {option.preset} on resume {given}; remove it or choose another {option.out}")
    config = resume_config(saved.config, options)
    require_engine(config)
    data = _read_data(directory, config, source, saved, manifest)
    _check_position(saved, data)
    require_memory(data)
    saved.state.parameters = replace(saved.state.parameters, ngrams=_count_again(saved, data))
    metrics, samples = _read_records(files, saved, manifest)
    run = Run(
        data, saved.state, create_optimizer(config), History(config), directory, saved.best, saved.best, recorded,
        manifest.text_kind if manifest else None, manifest.init_from if manifest else None, (data.describe(),),
        counts_loss=saved.counts_loss,
    )  # fmt: skip
    rows, texts = _drop_end(metrics, run, saved.config), _drop_last(samples, run.state.update, saved.config)
    run = replace(run, history=History(config, rows, texts, files))
    if limit := was_ended_by(run, config):
        run = replace(run, history=History(config, metrics, samples, files))
        _leave_finished(run, saved, limit)
    elif extension := describe_extension(run, saved.config):
        run.notices += (extension,)
    if not (limit and manifest and manifest.stopped):  # otherwise its end is recorded
        directory.remove_plot()  # the plot of an earlier end would stay if the process is killed before it plots
        directory.write_manifest(run.manifest)  # before the loggers are started, which read it
    elif manifest.log != directory.log:
        directory.write_manifest(manifest)
    directory.rewind(run.metrics, run.samples)
    if not limit and config != saved.config:  # new limits apply even if the run is killed before it saves once more
        directory.save(make_checkpoint(run))
        directory.save_selected(run.selected)
    return run


def _find_validation(saved: Config, manifest: RunManifest | None, options: Mapping[str, Any]) -> Config:
    """Return the checkpoint's settings with the path of the validation text, which may have moved, for its name."""
    if not saved.validation_file:
        return saved
    for given in (options.get("validation"), manifest and manifest.config.validation_file):
        if given and (config := replace(saved, validation=given)).validation_file:
            return config
    name = Path(saved.validation_file).name
    raise ElmanError(f"the path of the validation text {quote(name)} is lost: pass {option.validation}")


def _read_data(
    directory: RunWriter, config: Config, source: Text | None, saved: Checkpoint, manifest: RunManifest | None
) -> TrainingData:
    name = f"the run in {quote(directory.path)}"
    # A run whose text was in memory, or was read before the setting existed, has carriage returns without it.
    reading = replace(config, keep_crlf=config.keep_crlf or "\r" in saved.alphabet.characters)
    if source is None:
        files = find_text(manifest, name)
        assert manifest is not None
        corpus = replace(read_text(files, reading, saved.alphabet), name=manifest.corpus.name)
        require_unchanged(manifest, corpus, name)
    else:
        corpus = read_text(source, reading, saved.alphabet)
    if corpus.sha256 != saved.corpus_sha256:
        digests = f"(SHA-256 {saved.corpus_sha256[:12]}…, but {corpus.label} has {corpus.sha256[:12]}…)"
        remedy = f"pass that text or choose another {option.out}"
        raise ElmanError(f"{name} was trained on another text {digests}; {remedy}")
    if corpus.alphabet != saved.alphabet:
        own, given = len(saved.alphabet), f"the text is encoded in an alphabet of {len(corpus.alphabet)} characters"
        raise ElmanError(f"{given}, but {name} has its own of {own}; encode the text with it")
    if not corpus.files and manifest is not None:  # a text in memory; the run is found again from its files
        corpus = replace(corpus, files=(*manifest.corpus.files,))
    validation_sha256 = manifest.validation.sha256 if manifest and manifest.validation else ""
    return TrainingData(config, corpus, read_validation_text(config, corpus, validation_sha256))


def _check_position(saved: Checkpoint, data: TrainingData) -> None:
    """Reject a state whose position in the text does not follow from its number of updates."""
    state, T, per_epoch = saved.state, saved.config.seq_length, data.windows.per_epoch
    position = ((state.update - 1) % per_epoch + 1) * T if state.update else 0
    epoch = state.update // per_epoch
    if (state.position, state.epoch) != (position, epoch):
        expected = f"after {state.update} updates a run is at character {position} of epoch {epoch}"
        found = f"the checkpoint is at {state.position} of epoch {state.epoch}"
        raise ElmanError(f"{expected}, but {found}; restore a copy or train again")


def _read_records(
    files: RunDirectory, saved: Checkpoint, manifest: RunManifest | None
) -> tuple[list[Metrics], list[Sample]]:
    """Read the records of a run; a run that was killed right at its start has no files of records yet."""
    is_evaluated = saved.best is not None or (manifest is not None and manifest.stopped == "counts")
    if not (saved.state.update or is_evaluated):
        return [], []
    metrics, samples = files.metrics(), files.samples()
    texts, due = saved.config.sample_every, due_rows(saved.state.update, saved.config.metrics_every)
    _require_records(files.path / METRICS, metrics, due)
    _require_records(files.path / SAMPLES, samples, range(0, saved.state.update + 1, texts) if texts else ())
    return metrics, samples


def _require_records(path: Path, records: Sequence[Metrics | Sample], due: Iterable[int]) -> None:
    """Reject a file without a record that was written before the checkpoint."""
    found = {record.update for record in records}
    if (missing := next((update for update in due if update not in found), None)) is not None:
        remedy = f"restore a copy, or start a new run with {option.init_from} (its weights)"
        raise ElmanError(f"{quote(path)} lacks the record of update {missing:,}, which the checkpoint covers: {remedy}")


def _count_again(saved: Checkpoint, data: TrainingData) -> NgramModel | None:
    """Return the n-gram model for training, whose folds no checkpoint contains, and compare it with the saved one."""
    ngrams = saved.state.parameters.ngrams
    if ngrams is None:
        return None
    counted = count_training_text(data, ngrams.pretrained)
    assert counted is not None
    tensors, expected = ngram_tensors(counted), ngram_tensors(ngrams)
    if any(not np.array_equal(tensors[name], array) for name, array in expected.items()):
        problem = "the n-gram prior of the checkpoint was not counted on the training text"
        raise ElmanError(f"{problem}; restore a copy or train again")
    return counted


def _leave_finished(run: Run, saved: Checkpoint, limit: str) -> None:
    """Complete the results of a run that has nothing to do, as it was at its end."""
    assert run.directory is not None
    run.selected = None if saved.best is None and saved.last_loss is None else saved.selected
    run.score_quantiles, run.whole_loss = saved.lines.score_quantiles, saved.whole_loss
    run.directory.save_selected(run.selected)  # if it was killed between the two writes of its last save
    run.stopped, run.was_finished, run.advice = limit, True, describe_reached(run, limit)
    run.notices += (run.advice,)


def _drop_end(metrics: list[Metrics], run: Run, saved: Config) -> list[Metrics]:
    """Return the rows as if the run had not stopped: without the row and validation that ended a run with `saved`."""
    if not metrics or metrics[-1].update < run.state.update:
        return metrics
    *rows, last = metrics
    every = saved.validate_every
    if last.update % every if every else was_ended_by(run, saved):
        last = replace(last, validation_loss=None)
    is_due = last.validation_loss is not None or next_row(last.update - 1, saved.metrics_every) == last.update
    return [*rows, last] if is_due else rows


def _drop_last(samples: list[Sample], update: int, saved: Config) -> list[Sample]:
    """Return the samples as if the run had not stopped: without the one of its end, unless it was due."""
    is_of_end = bool(samples) and saved.sample_every and samples[-1].update == update and update % saved.sample_every
    return samples[:-1] if is_of_end else samples
