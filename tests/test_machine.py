"""How many bytes and threads a process may use."""

from pathlib import Path

import pytest

from elman import machine
from elman.machine import available_memory, thread_count


def test_the_memory_of_a_container_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUPS", [(tmp_path, "memory.max", "memory.current")])
    whole = available_memory()
    (tmp_path / "memory.current").write_text("5000\n", "utf-8")
    (tmp_path / "memory.stat").write_text("inactive_file 1000\nactive_file 2000\n", "utf-8")
    for limit, expected in (("max\n", whole), ("7000\n", 5000), ("1000\n", 0)):
        (tmp_path / "memory.max").write_text(limit, "utf-8")
        assert available_memory() == pytest.approx(expected, rel=0.5)
    (tmp_path / "memory.stat").write_text("anon 1000\n", "utf-8")
    assert available_memory() == pytest.approx(whole, rel=0.5)


def test_the_threads_of_a_container_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_CPU_QUOTAS", [(tmp_path, "cpu.max"), (tmp_path, "quota", "period")])
    assert thread_count() == 8
    (tmp_path / "period").write_text("100000\n", "utf-8")
    for quota, expected in (("-1\n", 8), ("50000\n", 1), ("900000\n", 8)):
        (tmp_path / "quota").write_text(quota, "utf-8")
        assert thread_count() == expected
    for limit, expected in (("150000 100000\n", 2), ("300000 100000\n", 3)):
        (tmp_path / "cpu.max").write_text(limit, "utf-8")
        assert thread_count() == expected
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert thread_count() == 5
