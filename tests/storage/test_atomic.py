"""Replaced files."""

import os
import re
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from elman.errors import ElmanError, quote
from elman.storage.atomic import replace_file, replace_files, write_output


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"a longer text")
    replace_file(path, (b"tw", b"o"))
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_is_synced_with_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    rename = Path.replace

    def fsync(handle: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112

    def replace(path: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "file", b"data")
    assert calls == ["file", "rename", "directory"]


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in directories")
def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    """As with /dev/stdout and /dev/null, which root could replace by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(path.read_bytes)
        write_output(path, (b"a", b"b"))
        assert read.result(timeout=10) == b"ab"
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_standard_output_that_is_redirected_to_a_file_is_written_to(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        write_output(Path(f"/proc/self/fd/{file.fileno()}"), b"data")
    assert (tmp_path / "file").read_bytes() == b"data"


def test_an_output_that_is_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"kept")
    (tmp_path / "file").symlink_to("other")
    write_output(tmp_path / "file", b"data")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"data", "other": b"kept"}


def test_several_files_are_replaced_once_all_are_written(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"before")

    def fail() -> Iterator[bytes]:
        yield b"data"
        raise OSError(28, "No space left on device")

    with pytest.raises(ElmanError, match=f"^{re.escape(f'cannot write {quote(tmp_path / chr(98))} (No space left')}"):
        replace_files({tmp_path / "a": b"after", tmp_path / "b": fail()}, remove=[tmp_path / "c"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys("abc", b"before")
    replace_files({tmp_path / "a": b"after", tmp_path / "b": b"after"}, remove=[tmp_path / "c", tmp_path / "d"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys("ab", b"after")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask_which_is_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", None)  # it is of all threads
            replace_file(tmp_path / "c", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "c").stat().st_mode & 0o777 == mode


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    replace_file(tmp_path / "c", b"before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as a full disk
    try:
        with pytest.raises(ElmanError) as raised:
            replace_file(tmp_path / "c", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    expected = "(File too large): free disk space or choose another out; an existing file is left unchanged"
    assert str(raised.value) == f"cannot write {quote(tmp_path / 'c')} {expected}"
    assert (tmp_path / "c").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
