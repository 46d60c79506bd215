"""A run that replaces another in its directory."""

from pathlib import Path
from typing import Any

import pytest

from elman.errors import ElmanError
from elman.runs.directory import RunDirectory
from elman.text import Corpus
from support.training import EXACT, StopsAt, assert_saved, contents, train

OPTIONS: dict[str, Any] = EXACT | {"validation": 0.2, "validate_every": 9, "max_updates": 20}


def test_the_new_run_is_as_one_in_a_new_directory(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    train(corpus, **OPTIONS, out=tmp_path / "run", log=("jsonl", "tensorboard"))
    (tmp_path / "run" / "notes.txt").touch()
    options = EXACT | {"max_updates": 10, "seed": 1}
    run = train(corpus, **options, out=tmp_path / "run", overwrite=True)
    assert_saved(tmp_path / "run", run)
    train(corpus, **options, out=tmp_path / "other")
    (tmp_path / "other" / "notes.txt").touch()  # a file of nobody's is left alone
    assert contents(tmp_path / "run").keys() == contents(tmp_path / "other").keys()


def test_where_there_is_no_run_nothing_is_replaced(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    run = train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert_saved(tmp_path, run)
    assert (tmp_path / "notes.txt").exists()


def test_a_start_that_fails_leaves_the_old_run(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    before = contents(tmp_path)
    for wrong in ({"dropout": 2.0}, {"seq_length": 1000}, {"hidden_size": 10**9}):
        with pytest.raises(ElmanError):
            train(corpus, **OPTIONS | wrong, out=tmp_path, overwrite=True)
    with RunDirectory(tmp_path).writing(), pytest.raises(ElmanError, match="is locked"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    monkeypatch.setattr("elman.storage.atomic.os.fsync", full)
    with pytest.raises(ElmanError, match="No space left on device"):
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_start_that_is_killed_leaves_one_of_both(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the checkpoint is replaced, the other files are still the old run's: resuming puts them right."""
    options = EXACT | {"max_updates": 20, "seed": 1}
    train(corpus, **OPTIONS, out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(corpus, **options, out=tmp_path, overwrite=True)
    run = train(corpus, out=tmp_path, resume=True)
    assert_saved(tmp_path, run)
    expected = train(corpus, **options)
    assert run.samples == expected.samples
    assert [row.loss for row in run.metrics] == [row.loss for row in expected.metrics]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_new_run_is_resumed(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    train(corpus, **OPTIONS | {"seed": 1}, out=tmp_path, overwrite=True, callback=StopsAt(5))
    assert train(corpus, out=tmp_path, resume=True).config.seed == 1


def test_a_damaged_run_is_replaced_but_no_other_file(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"damaged")
    (tmp_path / "run.json").rename(tmp_path / "kept.json")
    with pytest.raises(ElmanError, match=r"checkpoint\.safetensors' cannot be used"):  # it may be anything
        train(corpus, **OPTIONS, out=tmp_path, overwrite=True)
    assert checkpoint.read_bytes() == b"damaged"
    (tmp_path / "kept.json").rename(tmp_path / "run.json")
    assert_saved(tmp_path, train(corpus, **OPTIONS, out=tmp_path, overwrite=True))


def test_what_cannot_be_combined(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match=r"^overwrite=True requires out, the directory of the run$"):
        train(corpus, **OPTIONS, overwrite=True)
    with pytest.raises(ElmanError, match=r"^overwrite=True replaces the run that resume=True continues: pass only one"):
        train(corpus, out=tmp_path, overwrite=True, resume=True)
