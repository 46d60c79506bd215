"""A run directory from elsewhere: nothing outside it is written, nothing in it blocks, and it starts no logger."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.runs.directory import FILES, PLOT
from elman.storage.tensors import read_description
from elman.text import Corpus
from support.training import EXACT, assert_saved, contents, train

OPTIONS: dict[str, Any] = EXACT | {"validation": 0.2, "validate_every": 5, "max_updates": 12}
WRITTEN = [*FILES, PLOT, "metrics.jsonl"]
SECRET = b"not the run's"


def socket_at(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # its name may have about 100 characters


ENTRIES: dict[str, Callable[[Path], None]] = {
    "link": lambda path: path.symlink_to(path.parent.parent / "outside"),
    "hard link": lambda path: path.hardlink_to(path.parent.parent / "outside"),
    "link to a link": lambda path: path.symlink_to(path.parent.parent / "link"),
    "dangling link": lambda path: path.symlink_to(path.parent.parent / "new"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to another file of the run": lambda path: path.symlink_to("notes.txt"),
    "link to a folder": lambda path: path.symlink_to(path.parent.parent / "folder"),
    "link to a device": lambda path: path.symlink_to("/dev/full"),
    "link to a pipe": lambda path: path.symlink_to(path.parent.parent / "pipe"),
    "pipe": os.mkfifo,
    "socket": socket_at,
}
"""What can be in the place of a file of a run."""


@pytest.fixture
def out(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run next to what is not part of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside").write_bytes(SECRET)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "events.out.tfevents.1").write_bytes(SECRET)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("outside")
    train(corpus, **OPTIONS, out=tmp_path / "run", log=["jsonl"])
    (tmp_path / "run" / "notes.txt").write_bytes(SECRET)
    return tmp_path / "run"


def assert_nothing_else_changed(out: Path) -> None:
    assert (out / "notes.txt").read_bytes() == (out.parent / "outside").read_bytes() == SECRET
    assert contents(out.parent / "folder") == {"events.out.tfevents.1": SECRET}
    assert {path.name for path in out.parent.iterdir()} == {"outside", "folder", "pipe", "link", "run"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_file_of_a_run_is_replaced_and_never_written_through(corpus: Corpus, out: Path, entry: str) -> None:
    for name in ("best.safetensors", PLOT):  # the others are read
        (out / name).unlink()
        ENTRIES[entry](out / name)
    run = train(corpus, out=out, resume=True, max_updates=18)
    assert_saved(out, run)
    assert all((out / name).is_file() and not (out / name).is_symlink() for name in WRITTEN)
    assert_nothing_else_changed(out)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    "names",
    [{*WRITTEN} - {"run.json", "checkpoint.safetensors"}, {"checkpoint.safetensors"}],  # either, a run is known by
    ids=len,
)
def test_any_file_of_a_run_is_replaced_by_a_new_run(corpus: Corpus, out: Path, entry: str, names: set[str]) -> None:
    (out / "best.safetensors").unlink()
    for name in names:
        (out / name).unlink(missing_ok=True)
        ENTRIES[entry](out / name)
    assert_saved(out, train(corpus, **OPTIONS | {"seed": 1}, out=out, overwrite=True))
    assert all(not (out / name).is_symlink() for name in WRITTEN)
    assert names == {"checkpoint.safetensors"} or not (out / "metrics.jsonl").exists()
    assert_nothing_else_changed(out)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "metrics.csv", "samples.jsonl", "run.json"])
def test_a_pipe_that_is_read_is_rejected_at_once(corpus: Corpus, out: Path, name: str) -> None:
    (out / name).unlink()
    os.mkfifo(out / name)
    if name == "run.json":  # which is restored
        assert train(corpus, out=out, resume=True, max_updates=18).state.update == 18
    else:
        with pytest.raises(ElmanError, match="Not a regular file"):
            train(corpus, out=out, resume=True, max_updates=18)
    assert_nothing_else_changed(out)


def test_a_folder_in_the_place_of_a_file_leaves_the_run(corpus: Corpus, out: Path) -> None:
    (out / PLOT).unlink()
    (out / PLOT).mkdir()
    before = contents(out)
    with pytest.raises(ElmanError, match="cannot write"):
        train(corpus, **OPTIONS, out=out, overwrite=True)
    assert contents(out) == before


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_text_or_a_model_that_is_a_pipe_is_rejected_at_once(corpus: Corpus, out: Path, kind: str) -> None:
    path = out.parent / kind
    if kind == "socket":
        socket_at(path)
    with pytest.raises(ElmanError, match="is a pipe or a device"):
        train(corpus, **OPTIONS | {"validation": path})
    with pytest.raises(ElmanError, match=f"{kind}' .*Not a regular file"):
        train(corpus, **OPTIONS, init_from=path)
    manifest = json.loads((out / "run.json").read_text("utf-8"))
    manifest["corpus"]["files"] = [{"path": str(path), "sha256": corpus.sha256}]
    (out / "run.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(ElmanError, match=f"{kind}'.*Not a regular file"):
        elman.train(out=out, resume=True, max_updates=18)


def test_a_text_on_the_command_line_may_be_a_pipe(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(corpus.text, "utf-8")
    options = "--preset reference --engine numpy --hidden-size 4 --seq-length 5 --max-updates 3 --sample-every 0 -q"
    for command in ("train <(cat text)", "train - < text"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        words = ["bash", "-c", f"{sys.executable} -m elman {command} -o run {options}"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
        assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "metrics.jsonl"])
def test_a_log_that_the_run_does_not_record_is_not_started(corpus: Corpus, tmp_path: Path, name: str) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    (tmp_path / name).mkdir()
    train(corpus, out=tmp_path, resume=True, max_updates=18)
    assert not list((tmp_path / name).iterdir())


def test_the_loggers_of_a_run_are_recorded(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path)
    for log in (["jsonl"], []):  # of a run that has ended, too
        train(corpus, out=tmp_path, resume=True, log=log)
        assert json.loads((tmp_path / "run.json").read_text("utf-8"))["log"] == ["jsonl"]
    (tmp_path / "metrics.jsonl").unlink()
    train(corpus, out=tmp_path, resume=True, max_updates=18)
    assert (tmp_path / "metrics.jsonl").exists()


def test_the_folder_of_a_logger_is_not_followed(corpus: Corpus, out: Path) -> None:
    pytest.importorskip("tensorboardX")
    folder = out / "tensorboard"
    for options in ({"resume": True, "max_updates": 18}, OPTIONS | {"overwrite": True}):
        folder.symlink_to(out.parent / "folder")
        train(corpus, out=out, log=["tensorboard"], **options)
        assert_nothing_else_changed(out)
        assert folder.is_dir()
        assert not folder.is_symlink()
        shutil.rmtree(folder)
    folder.symlink_to(out.parent / "folder")
    train(corpus, **OPTIONS, out=out, overwrite=True)
    assert_nothing_else_changed(out)
    assert not folder.is_symlink()


def test_weights_contain_no_path(corpus: Corpus, tmp_path: Path) -> None:
    for name in ("train.txt", "held_out.txt"):
        (tmp_path / name).write_text(corpus.text, "utf-8")
    out = tmp_path / "run"
    options = OPTIONS | {"validation": tmp_path / "held_out.txt"}
    train(tmp_path / "train.txt", **OPTIONS, out=tmp_path / "first")
    train(tmp_path / "train.txt", **options, out=out, init_from=tmp_path / "first")
    for name in ("checkpoint.safetensors", "best.safetensors"):
        assert read_description(out / name)["config"]["validation"] == "held_out.txt"
        assert str(tmp_path).encode() not in (out / name).read_bytes()
    run = elman.train(out=out, resume=True, max_updates=18)  # the path is in run.json
    assert run.config.validation == str(tmp_path / "held_out.txt")
    (out / "run.json").unlink()
    with pytest.raises(ElmanError, match="is lost: pass validation"):
        train(tmp_path / "train.txt", out=out, resume=True, max_updates=24)
    run = train(tmp_path / "train.txt", out=out, resume=True, max_updates=24, validation=tmp_path / "held_out.txt")
    assert run.state.update == 24
