"""The processes of torchrun, and what is checked of an engine before training in them."""

from typing import Any

import pytest

from elman.cli.display import TrainingDisplay
from elman.config import Config, resume_config
from elman.engine import require_engine
from elman.engine.processes import Process, connect_processes, current_process, run_on_first_process
from elman.errors import ElmanError


def start_processes(monkeypatch: pytest.MonkeyPatch, rank: int, size: int) -> None:
    """Set the variables that torchrun sets."""
    values = {"TORCHELASTIC_RUN_ID": "none", "RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank}
    for name, value in (values | {"LOCAL_WORLD_SIZE": size}).items():
        monkeypatch.setenv(name, str(value))


def test_the_process_is_that_of_the_environment_and_has_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_process() == Process()
    assert run_on_first_process(lambda: 3) == 3  # a single process is the first
    start_processes(monkeypatch, 1, 3)
    assert current_process() == Process(1, 3, 1, 3)
    for B, size in ((5, 2), (4, 4), (7, 3)):
        rows = [list(range(B))[Process(rank, size).rows(B)] for rank in range(size)]
        assert [row for own in rows for row in own] == list(range(B))
        assert {len(own) for own in rows} <= {B // size, B // size + 1}


def test_a_process_that_has_ended_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("torch.distributed")
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    with pytest.raises(ElmanError, match="process 0 lost the connection"), connect_processes():
        raise RuntimeError("Connection closed by peer")


def test_torchrun_may_repeat_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    display = TrainingDisplay(quiet=True)
    display.is_asked = True
    display.receive(2, None)
    with pytest.raises(KeyboardInterrupt):
        display.receive(2, None)
    start_processes(monkeypatch, 0, 2)
    display.receive(2, None)
    assert display.should_stop()


@pytest.mark.parametrize(
    ("rank", "options", "message"),
    [
        (0, {}, r"requires engine=.torch. \(got numba\)"),
        (0, {"engine": "torch"}, r"batch_size must be at least the number of processes, 2 \(got 1\)"),
        (1, {"engine": "torch"}, "can start elman train only"),
    ],
)
def test_a_run_that_cannot_use_the_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch, rank: int, options: dict[str, Any], message: str
) -> None:
    start_processes(monkeypatch, rank, 2)
    with pytest.raises(ElmanError, match=message):
        require_engine(Config(**options))


def test_the_device_is_dropped_with_the_engine() -> None:
    saved = Config(engine="torch", device="cuda")
    assert resume_config(saved, {}).device == "cuda"
    assert resume_config(saved, {"engine": "numba"}).device == "auto"
    assert resume_config(saved, {"device": "cpu"}) == Config(engine="torch", device="cpu")
