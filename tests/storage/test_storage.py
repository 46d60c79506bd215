"""Replaced files, files of tensors, and those of the built-in models."""

import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import ElmanError, quote
from elman.model import loading
from elman.storage import tensors
from elman.storage.files import replace_file, replace_files, write_output
from elman.storage.tensors import read_tensors, serialize_tensors
from support.tensors import save_tensors


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"a longer text")
    replace_file(path, (b"tw", b"o"))
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_on_the_disk_when_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files before one is renamed, and the directory after each removal and rename.

    Here, unlike in all other tests, files are really synced.
    """
    synced, sync = list[int | list[str]](), import_module(os.name).fsync

    def fsync(handle: int) -> None:
        found = os.fstat(handle)
        names = sorted(path.name for path in tmp_path.glob("[!.]*"))
        synced.append(names if stat.S_ISDIR(found.st_mode) else found.st_size)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "c").touch()
    replace_files({tmp_path / "a": b"data", tmp_path / "b": (b"mo", b"re.")}, remove=[tmp_path / "c"])
    assert synced == [4, 5, [], ["a"], ["a", "b"]]


@pytest.mark.skipif(os.name != "posix", reason="no other system tells whether a process runs")
def test_what_killed_processes_have_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    names = [f".elman-{ended.pid}-01234567.part", f".elman-{os.getpid()}-01234567.part", ".other.part", ".elman-x.part"]
    for name in names:
        (tmp_path / name).touch()
    replace_file(tmp_path / "file", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"file", *names[1:]}


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
def test_permissions_follow_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int) -> None:
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


def test_a_file_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    dtypes = ("float32", "float64", "uint8", "uint16", "uint64")
    arrays: dict[str, Any] = {dtype: np.arange(1, 7).reshape(2, 3).astype(dtype) for dtype in dtypes}
    swapped = {name: array.astype(array.dtype.newbyteorder("S")) for name, array in arrays.items()}
    assert b"".join(serialize_tensors("{}", swapped)) == b"".join(serialize_tensors("{}", arrays))


def test_the_same_contents_are_the_same_bytes() -> None:
    arrays: dict[str, Any] = {"b": np.ones(3, "float32"), "a": np.zeros((2, 2), "float32")}
    assert len({b"".join(serialize_tensors('{"text": "äß\u2028\\u0000"}', arrays)) for _ in range(20)}) == 1


def test_a_file_replaced_while_it_is_read_is_read_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a run in training saves its checkpoint meanwhile."""
    path, read_tensor = tmp_path / "file", tensors._read_tensor
    contents = [{"large.a": np.arange(size, dtype="int64"), "b": np.ones(size)} for size in (9, 7)]
    save_tensors(path, {"n": 1}, contents[0])

    def replace_and_read(*arguments: Any, **options: Any) -> Any:
        save_tensors(path, {"n": 2}, contents[1])
        return read_tensor(*arguments, **options)

    monkeypatch.setattr(tensors, "_read_tensor", replace_and_read)
    text, arrays = read_tensors(path)
    assert text == '{"n": 1}'
    for name, array in contents[0].items():
        np.testing.assert_array_equal(arrays[name], array)


def test_the_files_are_small_and_have_their_licences() -> None:
    folder = Path(str(loading.BUILTIN_FILES))
    assert sum(path.stat().st_size for path in folder.glob("*.xz")) <= 2_000_000
    notice = (folder / "NOTICE.md").read_text("utf-8")
    assert loading.MODELS[-1].file in notice
    assert "LICENSE.python.txt" in notice
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (folder / "LICENSE.python.txt").read_text("utf-8")


def test_without_a_temporary_directory_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(loading, "TemporaryDirectory", fail)
    with (
        pytest.raises(ElmanError, match=r"^the built-in model cannot be unpacked: No usable temporary directory found"),
        loading.unpack_builtin(loading.MODELS[-1]),
    ):
        pass
