"""A model in use does not change when its file does: what is loaded is what is used, and no process dies."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.model import Model
from elman.model.loading import load
from elman.text import Corpus
from support.state import TEXT
from support.training import EXACT, train

OPTIONS = EXACT | {"ngram_order": 4, "max_updates": 10}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directories of a run with a best network, of another run, and of one for the Hub."""
    folder = tmp_path_factory.mktemp("models")
    train(Corpus.from_text(TEXT), **OPTIONS, validation=0.2, validate_every=5, out=folder / "run")
    train(Corpus.from_text(TEXT[::-1]), **OPTIONS, out=folder / "other")
    elman.export(folder / "run", folder / "hub", format="hub", include_text=True)
    return folder


def overwrite(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)  # as `cp` does, in place


def truncate(path: Path, other: Path) -> None:
    os.truncate(path, 0)


def fill(path: Path, other: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


def use(model: Model, folder: Path) -> list[Any]:
    """Return what a model gives, exactly."""
    elman.export(model, folder / "model.npz")
    used = [model.sample(50, seed=1), model.sample(50, seed=1, adapt="counts"), model.score(TEXT).nats]
    adapted = model.score(TEXT, adapt="counts").nats
    return [*used, adapted, "".join(model.beam(4, 5, prompt="It ")), (folder / "model.npz").read_bytes()]


@pytest.mark.parametrize("is_used_before", [False, True], ids=["before its first use", "in use"])
@pytest.mark.parametrize("change", [overwrite, truncate, fill])
@pytest.mark.parametrize("file", ["run/checkpoint.safetensors", "run/best.safetensors", "hub/model.safetensors"])
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_model_is_what_was_loaded(
    models: Path, tmp_path: Path, engine: str, file: str, change: Callable[[Path, Path], None], is_used_before: bool
) -> None:
    path = Path(shutil.copyfile(models / file, tmp_path / "model.safetensors"))
    expected = use(load(models / file, engine=engine), tmp_path)
    model = load(path, engine=engine)
    if is_used_before:
        model.sample(5)
    change(path, models / "other" / "checkpoint.safetensors")
    assert use(model, tmp_path) == expected
