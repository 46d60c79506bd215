"""Where Elman keeps what it can make or fetch again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for downloads and compiled kernels: `ELMAN_CACHE`, or the system's place for caches."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("ELMAN_CACHE") or user_cache_dir("elman"))
