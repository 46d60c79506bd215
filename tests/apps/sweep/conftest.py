"""A fixture of the tests of sweeps."""

import pytest


@pytest.fixture
def local_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    from elman.apps.sweep import controller
    from support.sweeps import LocalWorker

    monkeypatch.setattr(controller, "Worker", LocalWorker)
