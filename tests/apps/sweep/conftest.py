"""A fixture of the tests of sweeps."""

import pytest


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train trials in this process, and draw no plots, which would take a second each."""
    pytest.importorskip("optuna")
    from elman.apps.sweep.loop import Workers
    from support.sweeps import train_here

    monkeypatch.setattr(Workers, "train_once", train_here)
    monkeypatch.setattr("elman.training.loop.save_plot", lambda *_: None)
    monkeypatch.setattr("elman.training.api.save_plot", lambda *_: None)
