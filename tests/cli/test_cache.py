"""``elman cache``, and the warning of a cache that cannot be written."""

import errno
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.jit.cache import StoredKernel, _warn_of_cache, find_digest, store_kernel
from support.cli import Command


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def test_the_cache_is_shown_and_cleared(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    shown = {"folder": str(tmp_path / "cache"), "kernels_folder": str(tmp_path / "cache"), "cleared": False}
    assert json.loads(command("cache", "--json").out) == shown | {"kernels_bytes": 0, "texts_bytes": 0}
    for number in range(2):
        write(tmp_path / "cache" / f"kernels-{number:016x}" / "numba" / "kernel.nbi", 1_000_000)
    write(tmp_path / "cache" / "shakespeare.txt", 500_000)
    write(tmp_path / "outside" / "kernel.nbi", 9)
    (tmp_path / "cache" / f"kernels-{2:016x}").symlink_to(tmp_path / "outside")
    others = {tmp_path / "cache" / name for name in ("novel.txt", "kernels-of-mine/file")}
    for path in others:
        write(path, 9)
    metrics = json.loads(command("cache", "--json").out)
    assert metrics == shown | {"kernels_bytes": 2_000_000, "texts_bytes": 500_000}
    ended = command("cache", "--clear")
    folder = tmp_path / "cache"
    assert ended == (0, f"kernels: 2.0 MB in {folder}\ntexts: 0.5 MB in {folder}\nremoved 2.5 MB\n", "")
    assert {path for path in folder.rglob("*") if path.is_file()} == others
    assert (tmp_path / "outside" / "kernel.nbi").exists()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))  # a folder of kernels of its own
    assert command("cache").out == f"kernels: 0.0 MB in {tmp_path / 'kernels'}\ntexts: 0.0 MB in {folder}\n"


def test_kernels_are_compiled_ahead(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, compressed = list[str](), list[str]()

    def train(corpus: elman.Corpus, preset: str, **options: Any) -> Any:
        trained.append(preset)
        return elman_train(corpus, preset="reference", max_updates=options["max_updates"], progress=False)

    elman_train = elman.train
    monkeypatch.setattr("elman.train", train)
    kernels = {"codec": lambda model, text: compressed.append(text)}
    monkeypatch.setattr("elman.cli.commands.cache.KERNELS", kernels)
    assert command("cache", "--warm").out.startswith("kernels: ")
    assert (trained, len(compressed)) == (["reference", "quick", "minute"], 1)
    monkeypatch.setattr("elman.cli.commands.cache._size", lambda path: 0)  # as if the folder could not be written
    assert command("cache", "--warm").code == 1
    assert "cannot combine --warm with --clear" in command("cache", "--warm", "--clear").err


MODULE = "elman.ngram.counting"


def read_digest(module: str = MODULE) -> str | None:
    """Return the digest of a module as another process would."""
    find_digest.cache_clear()
    return find_digest(module)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Leave nothing for other tests that depends on the variables of these."""
    _warn_of_cache.cache_clear()
    yield
    find_digest.cache_clear()
    _warn_of_cache.cache_clear()


@pytest.mark.parametrize("variable", ["ELMAN_CACHE", "NUMBA_CACHE_DIR"])
def test_an_unwritable_cache_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "file" / "cache"))
    expected = (
        rf"^cannot store compiled kernels in '.*cache', which lacks kernels of these versions of Elman, Python, NumPy"
        rf" and Numba, so every .*: set {variable} to a folder that can be written$"
    )
    with pytest.warns(RuntimeWarning, match=expected) as seen:
        assert [read_digest(module) for module in (MODULE, "elman.ngram.kernels")] == [None, None]
    assert len(seen) == 1


def test_a_cache_on_a_full_disk_is_reported_and_gets_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.warns(RuntimeWarning, match="every command compiles them again: set ELMAN_CACHE to a folder"):
        store_kernel(StoredKernel(f"{MODULE}:count", (), "", [], [], "", "", "", b"code", b"numba"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_cache_that_others_have_filled_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    digest = read_digest()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert read_digest() == digest


@pytest.mark.parametrize("content", [b"", b"3", b"\xff", 63 * b"a"])
def test_a_digest_that_cannot_be_used_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    digest = read_digest()
    (path,) = [each for each in tmp_path.rglob("*") if each.is_file()]
    path.write_bytes(content)
    assert read_digest() == digest == path.read_text()


def test_a_warning_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        warnings.warn("cannot store\nkernels", RuntimeWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr("elman.model.loading.load_builtin", warn)
    warnings.simplefilter("default")
    assert command("sample", "-q").err == "warning: cannot store kernels\n"
