"""Models on the Hugging Face Hub: names, downloads, the cache, errors; no request without ``hf://``."""

import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError, quote
from elman.model import loading
from elman.model.loading import fingerprint, hub_name
from elman.runs.directory import RunDirectory
from elman.text import Corpus
from support.cli import Command, assert_refused
from support.hub import Hub, commit_of, running_hub
from support.state import TEXT, T
from support.training import train

pytest.importorskip("huggingface_hub")

NAME = "hf://ada/stormy"
LONG = "x" * 600
NO_REPOSITORY = "there is no such repository, or it is private: for a private one, log in with hf auth login"
OTHERS = {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b""}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        train(Corpus.from_text(TEXT), hidden_size=4, seq_length=T, max_updates=2, seed=seed, out=folder / str(seed))
    return folder / "1", folder / "2"


@pytest.fixture
def hub(runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A server with the second run on the branch main and the first at the tag v1, and a repository of others."""
    monkeypatch.chdir(tmp_path)
    Path("novel.txt").write_text(TEXT, "utf-8")
    revisions: dict[str, Any] = {}
    for revision, run in zip(("v1", "main"), runs, strict=True):
        elman.export(run, revision, format="hub")
        revisions[revision] = {path.name: path.read_bytes() for path in Path(revision).iterdir()}
    half = {"config.json": revisions["main"]["config.json"]}
    with running_hub(tmp_path / "cache") as server:
        server.repositories = {
            "ada/stormy": revisions,
            "ada/others": {"main": OTHERS, "text": {"config.json": b"\xff"}, "half": half, "none": {"README.md": b""}},
        }
        yield server


def loads(name: str, run: Path) -> bool:
    return fingerprint(elman.load(name)) == fingerprint(elman.load(run))


def test_a_model_is_downloaded_once(hub: Hub, runs: tuple[Path, Path]) -> None:
    assert loads(NAME, runs[1])
    commit = commit_of("main")[:6]
    files = [f"{method} ada/stormy {at} {name}" for at, name in (("main", "config.json"), (commit, "model.safetensors"))
             for method in ("HEAD", "GET")]  # fmt: skip
    assert hub.requests == files
    assert loads(NAME, runs[1])
    assert hub.requests == [*files, files[0]]  # whether the branch has another commit
    hub.shutdown()
    hub.server_close()
    assert loads(NAME, runs[1])


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub: Hub, runs: tuple[Path, Path]) -> None:
    assert not loads(NAME, runs[0])
    assert loads(f"{NAME}@main", runs[1])
    assert loads(f"{NAME}@v1", runs[0])
    hub.requests.clear()
    assert loads(f"{NAME}@{commit_of('v1')}", runs[0])
    assert hub.requests == []  # a commit does not change
    hub.repositories["ada/stormy"]["main2"] = hub.repositories["ada/stormy"].pop("v1")
    assert loads(f"{NAME}@main2", runs[0])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hf://ada/none", NO_REPOSITORY),
        (f"{NAME}@v2", "the repository has no revision 'v2'"),
        ("hf://ada/others", "its config.json was not written by Elman"),
        ("hf://ada/others@text", "its config.json was not written by Elman"),
        ("hf://ada/others@half", "the repository does not have both config.json and model.safetensors"),
        ("hf://ada/others@none", "the repository does not have both config.json and model.safetensors"),
        ("hf://-ada/..x", "HFValidationError: "),
        (f"hf://ada/{LONG}", "HFValidationError: "),
        (f"{NAME}@{LONG}", "the repository has no revision 'xxx"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(hub: Hub, command: Command, name: str, reason: str) -> None:
    ended = command("sample", name)
    assert_refused(ended, f"error: cannot load {quote(name)}: {reason}")
    assert len(ended.err) < 500
    assert "GET ada/others main model.safetensors" not in hub.requests


def test_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # instead of waiting for the library's retries
    with pytest.raises(ElmanError, match=r"the Hugging Face Hub cannot be reached, and the model is not in the cache$"):
        elman.load(NAME)
    monkeypatch.setattr(loading, "DOWNLOADS", {})  # of an installation without elman.formats.hub
    with pytest.raises(ElmanError, match=rf"^cannot load '{NAME}': elman.formats.hub is not installed$"):
        elman.load(NAME)
    assert hub.requests == []


def test_commands(hub: Hub, runs: tuple[Path, Path], command: Command) -> None:
    options = ["--length", 20, "--seed", 1, "--json"]
    (one, other) = (json.loads(command("sample", name, *options).out) for name in (NAME, runs[1]))
    assert (one["model"], one["text"]) == (NAME, other["text"])
    assert command("eval", f"{NAME}@v1", "novel.txt").out == command("eval", runs[0], "novel.txt").out
    assert command("score", NAME, "novel.txt").out == command("score", runs[1], "novel.txt").out
    assert command("export", NAME, "again", "--format", "hub").code == 0
    assert command("import", NAME, "imported").code == 0
    assert loads(NAME, Path("again"))
    assert loads(NAME, Path("imported"))
    pytest.importorskip("elman.apps.compress")
    assert command("compress", "novel.txt", "--model", NAME).code == 0
    assert command("decompress", "novel.txt.elm", "--model", runs[1], "--out", "text").code == 0
    assert Path("text").read_text("utf-8") == TEXT


def test_a_run_that_started_from_it_has_its_name(hub: Hub) -> None:
    train(Corpus.from_text(TEXT), init_from=f"{NAME}@v1", seq_length=T, max_updates=1, out="tuned")
    origin = RunDirectory(Path("tuned")).manifest().init_from
    assert origin is not None
    assert origin.path == f"{NAME}@v1"


def test_served_models_and_scorers_have_its_name(hub: Hub) -> None:
    models = pytest.importorskip("elman.apps.serve.models")
    assert list(models.load_models([Path(f"{NAME}@v1"), Path(NAME)])) == ["stormy", "stormy-2"]
    assert pickle.loads(pickle.dumps(elman.LineScorer(NAME)))(["It was"])["chars"].tolist() == [7]


def test_names_and_paths() -> None:
    assert hub_name(f"{NAME}@refs/pr/1") == hub_name(Path(f"{NAME}@refs/pr/1")) == f"{NAME}@refs/pr/1"
    assert [hub_name(path) for path in ("", "hf", "hf:", "runs/hf:/a", "builtin", "/hf:/a/b", "hf:x/y")] == [""] * 7


def test_the_library_is_imported_for_the_hub_only(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    elman.export(runs[0], runs[0].parent / "folder", format="hub")
    for path in (runs[0], runs[0].parent / "folder", "builtin"):
        assert elman.load(path).sample(3, seed=1)
    expected = "this requires huggingface_hub, which is not installed: pip install 'elman[hub]'"
    assert command("sample", NAME) == (2, "", f"error: {expected}\n")
