"""How a run starts: its settings, its text, its state before the first update, and its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from elman.config import Config, make_config
from elman.engine import TrainState, require_engine
from elman.errors import ElmanError
from elman.network.dropout import Dropout, WeightDropout
from elman.network.ngram import Indices, NgramModel, count_training_text
from elman.network.optimizer import Optimizer
from elman.network.parameters import INITIAL_ALPHA
from elman.presets import DEFAULT_PRESET, name_preset
from elman.runs.checkpoint import reset_at
from elman.runs.data import DEFAULT_TEXT, Text, TrainingData, read_text, read_validation_text
from elman.runs.directory import RunDirectory
from elman.runs.run import Run
from elman.text import check_alphabet_size
from elman.training.fine_tuning import ModelSource, PretrainedModel
from elman.training.preset_scaling import describe_changed, fit_to_text


def start_run(
    directory: RunDirectory | None,
    source: Text | None,
    preset: str | None,
    options: Mapping[str, Any],
    init_from: ModelSource | None = None,
) -> Run:
    """Return a run before its first update, saved to its directory.

    The arguments are those of `elman.train`; `options` are the settings that were passed.

    Raises
    ------
    ElmanError
        If an option, the text or the directory is invalid.
    """
    recorded = "" if preset is None and has_every_setting(options) else name_preset(preset or DEFAULT_PRESET)
    pretrained = None if init_from is None else PretrainedModel.open(init_from)
    adopted = options if pretrained is None else pretrained.adopt_shape(options)
    preset_config = make_config(recorded or DEFAULT_PRESET, adopted)
    require_engine(preset_config)
    corpus = read_text(DEFAULT_TEXT if source is None else source, preset_config)
    check_alphabet_size(corpus, preset_config.hidden_size)
    validation = read_validation_text(preset_config, corpus)
    config = fit_to_text(preset_config, recorded, corpus, options)
    data = TrainingData(config, corpus, validation)  # rejects a text that is too short before anything is written
    notices = (data.describe(), describe_changed(config, preset_config, len(data.windows.indices)))
    return create_run(data, directory, pretrained, preset=recorded, notices=tuple(filter(None, notices)))


def has_every_setting(options: Mapping[str, Any]) -> bool:
    """Return whether options leave nothing to a preset; the encoding belongs to the text."""
    return {setting.name for setting in fields(Config)} <= options.keys() | {"encoding"}


def create_run(
    data: TrainingData,
    directory: RunDirectory | None,
    pretrained: PretrainedModel | None,
    *,
    preset: str,
    notices: tuple[str, ...],
) -> Run:
    """Return a run before its first update, and create its directory."""
    optimizer = create_optimizer(data.config)
    state = initial_state(data, optimizer, None if pretrained is None else pretrained.counted_text(data.corpus))
    if pretrained is not None:
        pretrained.initialize(state, data.corpus.alphabet, optimizer)
    origin = None if pretrained is None else pretrained.origin
    run = Run(data, state, optimizer, directory, preset=preset, init_from=origin, notices=notices)
    if directory is not None:
        directory.create(run.manifest, run.checkpoint)
    return run


def initial_state(data: TrainingData, optimizer: Optimizer, counted_before: Indices | None = None) -> TrainState:
    """Return the state before the first update; the n-gram prior also counts the text `counted_before`.

    Raises
    ------
    ElmanError
        If there is not enough memory.
    """
    config, alphabet = data.config, data.corpus.alphabet
    try:
        return TrainState.initial(
            len(alphabet),
            config.hidden_size,
            config.init_std,
            config.seed,
            config.dtype,
            cell=config.cell,
            layers=config.layers,
            orthogonal=config.init == "orthogonal",
            batch_size=config.batch_size,
            optimizer=optimizer,
            ngrams=count_ngrams(data, counted_before),
            alpha=0.0 if config.ngram_start else INITIAL_ALPHA,
            reset_at=reset_at(alphabet, config),
        )
    except (MemoryError, ValueError):  # NumPy raises the second where not even the number of bytes fits
        raise ElmanError(
            f"not enough memory for --hidden-size {config.hidden_size} and an alphabet of {len(alphabet):,}"
            " characters; lower --hidden-size"
        ) from None


def count_ngrams(data: TrainingData, before: Indices | None = None) -> NgramModel | None:
    """Return the n-gram model of the training part of a text, after the text `before`; None without a prior."""
    config, alphabet = data.config, data.corpus.alphabet
    return count_training_text(
        data.windows.indices,
        len(alphabet),
        config.ngram_order,
        config.ngram_discount,
        config.ngram_folds,
        before=before,
        reset_at=reset_at(alphabet, config),
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
