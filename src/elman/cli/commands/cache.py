"""``elman cache``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from elman.cli.parameters import Flag, Json


def cache(*, clear: Flag = False, as_json: Json = False) -> int:
    """Show the cache of compiled kernels and downloaded texts: its folder and its size, or clear it.

    Parameters
    ----------
    clear
        Remove the kernels and the texts.
    """
    from elman.storage import cache_dir, kernel_dir
    from elman.text.sources import SHAKESPEARE_FILE

    folder, kernels_folder = cache_dir(), kernel_dir()
    kernels = [*kernels_folder.glob(f"kernels-{'[0-9a-f]' * 16}")]
    texts = [path for path in [folder / SHAKESPEARE_FILE] if path.is_file()]
    kernels_bytes, texts_bytes = (sum(map(_size, paths)) for paths in (kernels, texts))
    if clear:
        for path in kernels + texts:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    if as_json:
        folders = {"folder": str(folder), "kernels_folder": str(kernels_folder)}
        print(json.dumps(folders | {"kernels_bytes": kernels_bytes, "texts_bytes": texts_bytes, "cleared": clear}))
        return 0
    print(f"kernels: {kernels_bytes / 1e6:.1f} MB in {kernels_folder}")
    print(f"texts: {texts_bytes / 1e6:.1f} MB in {folder}")
    if clear:
        print(f"removed {(kernels_bytes + texts_bytes) / 1e6:.1f} MB")
    return 0


def _size(path: Path) -> int:
    """Return the size of a file, or of the files in a directory, in bytes; a link has none."""
    files = [] if path.is_symlink() else [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file())
