"""``elman cache``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from elman.cli.parameters import Flag, Json
from elman.plugins import Registry

WARM_PRESETS = ("reference", "quick", "minute")
"""The presets whose kernels are compiled ahead; the other presets use the same kernels."""
KERNELS = Registry[Any]("elman.kernels")  # functions of a model and a text that compile the kernels of applications


def cache(*, warm: Flag = False, clear: Flag = False, as_json: Json = False) -> int:
    """Show, fill or clear the cache of compiled kernels and downloaded texts.

    Parameters
    ----------
    warm
        Compile the kernels of presets, samples and applications.
    clear
        Remove the kernels and the texts.
    """
    from elman.errors import ElmanError
    from elman.storage import cache_dir, kernel_dir
    from elman.text.sources import SHAKESPEARE_FILE

    if warm and clear:
        raise ElmanError("cannot combine --warm with --clear: run elman cache twice")
    if warm:
        _compile_kernels()
    folder, kernels_folder = cache_dir(), kernel_dir()
    kernels = [*kernels_folder.glob(f"kernels-{'[0-9a-f]' * 16}")]
    texts = [path for path in [folder / SHAKESPEARE_FILE] if path.is_file()]
    kernels_bytes, texts_bytes = (sum(map(_size, paths)) for paths in (kernels, texts))
    code = int(warm and not kernels_bytes)  # a warning named the reason
    for path in kernels + texts if clear else []:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if as_json:
        folders = {"folder": str(folder), "kernels_folder": str(kernels_folder)}
        print(json.dumps(folders | {"kernels_bytes": kernels_bytes, "texts_bytes": texts_bytes, "cleared": clear}))
        return code
    print(f"kernels: {kernels_bytes / 1e6:.1f} MB in {kernels_folder}\ntexts: {texts_bytes / 1e6:.1f} MB in {folder}")
    if clear:
        print(f"removed {(kernels_bytes + texts_bytes) / 1e6:.1f} MB")
    return code


def _compile_kernels() -> None:
    """Compile kernels by using them briefly on a text of random words."""
    import numpy as np

    import elman
    from elman.model.loading import load_builtin

    words = np.random.default_rng(0).integers(10**6, size=20_000)
    text = " ".join(map(str, words))
    for preset in WARM_PRESETS:
        elman.train(elman.Corpus.from_text(text), preset=preset, max_updates=1, progress=False).model.sample(1)
    for compile_kernels in KERNELS.values():
        compile_kernels(load_builtin(), text[:1000])


def _size(path: Path) -> int:
    """Return the size of a file, or of the files in a directory, in bytes; the size of a link is 0."""
    files = [] if path.is_symlink() else [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file())
