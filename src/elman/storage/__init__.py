"""Files: atomic replacement, tensors with a digest, validation of untrusted content; where the cache is."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the directory of downloads and compiled kernels: `ELMAN_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))


def kernel_dir() -> Path:
    """Return the directory that has a directory of compiled kernels for each version of their source."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_dir())
