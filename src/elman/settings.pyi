# Generated from elman.Config by scripts/generate_reference.py.
import os
from typing import Literal, TypedDict

class Settings(TypedDict, total=False):
    cell: str
    hidden_size: int
    layers: int
    seq_length: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: Literal["constant", "cosine", "step"]
    final_lr_fraction: float
    warmup: int
    grad_clip: float
    grad_clip_mode: Literal["value", "norm"]
    beta1: float
    beta2: float
    weight_decay: float
    ema_decay: float
    dropout: float
    dropout_kind: Literal["variational", "plain"]
    weight_dropout: float
    init: Literal["normal", "orthogonal"]
    init_std: float
    ngram_order: int
    ngram_min_count: int
    ngram_max_size: float
    ngram_folds: int
    ngram_start: float
    epochs: int
    max_updates: int | None
    max_seconds: float | None
    validation: float | str | os.PathLike[str]
    validate_every: int
    validation_chars: int
    patience: int
    seed: int
    engine: str
    device: str
    dtype: Literal["float32", "float64"]
    mixed_precision: bool
    sample_every: int
    sample_length: int
    metrics_every: int
    lines: bool
    mask: str
    mask_regex: str
    encoding: str
    keep_crlf: bool
    field: str
    min_count: int
    max_chars: int | None
