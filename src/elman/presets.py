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

_GRU: dict[str, Any] = {
    "cell": "gru",
    "seq_length": 64,
    "optimizer": "adam",
    "schedule": "cosine",
    "clip": 16.0,
    "clip_by": "norm",
    "init": "orthogonal",
    # A one-hot input is a single row of U, which would drown in the recurrent product if it were small.
    "init_std": 1.0,
    "epochs": _UNLIMITED,
    # They make some thousand updates in all, each of many characters.
    "metrics_every": 20,
}
"""What the presets share whose limit is time."""

PRESETS = {
    "paper": Preset("the reference experiment, ten epochs: 20 seconds for a million characters"),
    "steady": Preset(
        "the reference network, as many updates, a better rule: 5.5 nats a window below paper in 10 epochs; a minute "
        "for a million characters",
        {
            "optimizer": "adam",
            "learning_rate": 0.0015,
            "beta1": 0.5,
            "beta2": 0.9999,
            "schedule": "cosine",
            # A network that still learns follows its text; one that stands still is right on the average only.
            "final_rate": 0.33,
            "warmup": 8000,
            "init": "orthogonal",
            "init_std": 0.3,
        },
    ),
    "quick": Preset(
        "a first model in 5 seconds: 1.68 nats a character of Shakespeare kept aside",
        _GRU
        | {
            "hidden_size": 128,
            "batch_size": 16,
            "learning_rate": 0.01,
            "warmup": 30,
            "max_seconds": 3.3,
            "sample_every": 500,
        },
    ),
    "minute": Preset(
        "a good small model in a minute: 1.53",
        _GRU
        | {
            "hidden_size": 256,
            "batch_size": 32,
            "learning_rate": 0.012,
            "warmup": 100,
            "dropout": 0.1,
            "dropout_kind": "plain",
            "averaging": 0.98,
            "max_seconds": 51.0,
            "validation": 0.1,
            "validate_every": 1000,
            "sample_every": 500,
        },
    ),
    "strong": Preset(
        "the best text in four minutes: 1.46; where it is given longer, it needs more --dropout",
        _GRU
        | {
            "hidden_size": 384,
            "layers": 2,
            "batch_size": 32,
            "learning_rate": 0.006,
            "warmup": 100,
            "dropout": 0.08,
            "dropout_kind": "plain",
            "averaging": 0.99,
            "max_seconds": 225.0,
            "validation": 0.1,
            "validate_every": 1000,
            "sample_every": 500,
        },
    ),
}


def described() -> str:
    """Return what there is to choose among, a line each."""
    return "\n".join(f"* {name}: {preset.says}." for name, preset in PRESETS.items())
