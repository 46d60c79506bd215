"""The presets: settings that go together, and what each is good for.

They were chosen by the experiments in ``benchmarks/recipes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Settings to begin from.

    Parameters
    ----------
    says : str
        What to expect of it, in one line: the loss in nats a character of text kept aside, and the time on two cores.
    settings : dict
        What it changes of the defaults.
    """

    says: str
    settings: dict[str, Any] = field(default_factory=dict)


_UNLIMITED = 1_000_000
"""Epochs, where time is the limit."""

PRESETS = {
    "paper": Preset("the reference experiment, ten epochs: 25 seconds for a million characters"),
    "steady": Preset(
        "the reference network, as many updates, a better rule: 25 seconds for a million characters",
        {"optimizer": "adam", "learning_rate": 0.002, "schedule": "cosine", "warmup": 200},
    ),
    "quick": Preset(
        "a first model in about 5 seconds: 1.88",
        {
            "cell": "gru",
            "hidden_size": 128,
            "seq_length": 32,
            "batch_size": 16,
            "optimizer": "adam",
            "learning_rate": 0.005,
            "schedule": "cosine",
            "warmup": 20,
            "clip": 1.0,
            "clip_by": "norm",
            "init": "orthogonal",
            "epochs": _UNLIMITED,
            "max_seconds": 3.0,
            "sample_every": 500,
            "metrics_every": 50,
        },
    ),
    "minute": Preset(
        "a good small model in a minute: 1.56",
        {
            "cell": "lstm",
            "hidden_size": 256,
            "seq_length": 64,
            "batch_size": 32,
            "optimizer": "adam",
            "learning_rate": 0.004,
            "schedule": "cosine",
            "warmup": 50,
            "clip": 1.0,
            "clip_by": "norm",
            "init": "orthogonal",
            "epochs": _UNLIMITED,
            "max_seconds": 50.0,
            "validation": 0.1,
            "validate_every": 500,
            "sample_every": 200,
            "metrics_every": 100,
        },
    ),
    "strong": Preset(
        "the best text for four minutes or, with --max-seconds 840, for a quarter of an hour: 1.47 and 1.43",
        {
            "cell": "lstm",
            "hidden_size": 512,
            "seq_length": 64,
            "batch_size": 32,
            "optimizer": "adam",
            "learning_rate": 0.003,
            "schedule": "cosine",
            "warmup": 100,
            "clip": 1.0,
            "clip_by": "norm",
            "init": "orthogonal",
            "dropout": 0.4,
            "averaging": 0.995,
            "epochs": _UNLIMITED,
            "max_seconds": 220.0,
            "validation": 0.1,
            "validate_every": 500,
            "sample_every": 500,
            "metrics_every": 100,
        },
    ),
}


def described() -> str:
    """Return what there is to choose among, a line each."""
    return "\n".join(f"* {name}: {preset.says}." for name, preset in PRESETS.items())
