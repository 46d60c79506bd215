"""How many bytes a process may use."""

from pathlib import Path

import pytest

from elman import machine
from elman.machine import available_memory


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
