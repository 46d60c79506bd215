"""Files: atomic replacement, tensors with a digest, untrusted content; where the cache is; what a path leads to."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the directory of downloads and compiled kernels: `ELMAN_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))


def kernel_dir() -> Path:
    """Return the directory that has a directory of compiled kernels for each version of their source."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_dir())


# --- Unlike for `Path`, a path that is too long, has a zero byte or may not be read leads to nothing ---


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether there is a file, a directory or anything else."""
    return os.path.exists(path)  # noqa: PTH110


def is_directory(path: str | os.PathLike[str]) -> bool:
    """Return whether it is a directory or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether it is a regular file or a link to one."""
    return os.path.isfile(path)  # noqa: PTH113


def make_absolute(path: str | os.PathLike[str]) -> str:
    """Return the path from the root; unlike by `Path.resolve`, links stay as they are, and a pattern stays one."""
    return os.path.abspath(path)  # noqa: PTH100
