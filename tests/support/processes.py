"""Programs in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from elman.storage import cache_dir
from support.state import ROOT


def run_in_a_process(code: str, cache: Path, *arguments: str) -> str:
    """Return what a program prints that imports tests of the engines and n-grams, and has its kernels in `cache`."""
    folders = (ROOT / "tests" / folder for folder in ("", "engine", "ngram"))
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    environment = os.environ | {
        "ELMAN_CACHE": str(cache),
        "PYTHONPATH": os.pathsep.join([*map(str, folders), *inherited]),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def linked_cache(folder: Path) -> Path:
    """Return a cache with the kernels of the usual one, in which other sources have theirs."""
    cache = folder / "cache"
    cache.mkdir()
    for path in cache_dir().glob("kernels-*"):
        (cache / path.name).symlink_to(path)
    return cache


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, in any of its threads; none where there is no /proc."""
    try:
        texts = [path.read_text("utf-8") for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # it has ended
        return []
    return [*map(int, " ".join(texts).split())]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended may still wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
