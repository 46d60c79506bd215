"""Where Elman stores files that it can recreate or download again."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the directory of downloads and compiled kernels: `ELMAN_CACHE`, or the user's cache directory."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))
