"""A package outside of Elman adds a command and a format by its entry points: ``examples/extension``."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import elman
from support.state import ROOT

EXTENSION = ROOT / "examples" / "extension"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder like that of an environment in which the package is installed."""
    (tmp_path / "elman_json.py").write_bytes((EXTENSION / "elman_json.py").read_bytes())
    return install_entry_points(tmp_path, tomllib.loads((EXTENSION / "pyproject.toml").read_text("utf-8"))["project"])


def install_entry_points(folder: Path, project: dict[str, object]) -> Path:
    """Write what `importlib.metadata` reads of an installed package."""
    metadata = folder / f"{project['name']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1\n", "utf-8")
    groups = project["entry-points"]
    assert isinstance(groups, dict)
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups.items()]
    (metadata / "entry_points.txt").write_text("".join(lines), "utf-8")
    return folder


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "elman", *arguments]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, encoding="utf-8")


def test_a_package_adds_a_command_and_a_format(installed: Path) -> None:
    text = elman.Corpus.from_text("abc " * 100)
    model = elman.train(
        text, out=installed / "run", preset="reference", hidden_size=2, max_updates=2, engine="numpy", progress=False
    ).model
    overview = run(installed, "--help").stdout
    assert "parameters  Print the number of parameters of a model." in overview
    count = sum(array.size for array in model.parameters.values())
    assert json.loads(run(installed, "parameters", "run", "--json").stdout) == {"parameters": count}
    assert run(installed, "export", "run", "--out", "model.json").stdout == "model.json\n"
    assert json.loads((installed / "model.json").read_text("utf-8"))["alphabet"] == model.alphabet.characters
    assert "json (JSON)" in " ".join(run(installed, "export", "--help").stdout.split())


def test_the_page_has_the_parameters_of_the_built_in_model(installed: Path) -> None:
    page = (ROOT / "docs" / "how_to" / "extend.md").read_text("utf-8")
    assert f"$ elman parameters builtin\n{run(installed, 'parameters', 'builtin').stdout}" in page


def test_an_entry_point_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "elman_invalid.py").write_text("(", "utf-8")
    groups = {"elman.commands": {"broken": "elman_nowhere:run"}, "elman.formats": {"broken": "elman_invalid"}}
    groups |= {f"elman.{kind}": {"broken": "elman_nowhere:x"} for kind in ("engines", "loggers", "adaptations")}
    install_entry_points(tmp_path, {"name": "elman-broken", "entry-points": groups})
    overview = run(tmp_path, "--help")
    assert overview.returncode == 0
    assert "warning: 'broken' of elman.commands cannot be loaded from elman_nowhere:run (No" in overview.stderr
    assert overview.stderr.count("\n") == overview.stderr.count("warning: 'broken' of elman.")
    for command in (["train", "--help"], ["eval", "--help"]):  # which list other registries
        assert run(tmp_path, *command).returncode == 0
    for command in (["broken"], ["help", "broken"], ["export", "run", "--out", "model.x", "--format", "broken"]):
        failed = run(tmp_path, *command)
        *warnings, error = failed.stderr.splitlines()
        assert (failed.returncode, error[:7]) == (2, "error: ")
        assert all(line.startswith("warning: 'broken' of elman.") for line in warnings)


def test_an_application_is_deleted_with_its_folder(tmp_path: Path) -> None:
    shutil.copytree(Path(elman.__file__).parent, tmp_path / "elman", ignore=shutil.ignore_patterns("compress"))
    overview = run(tmp_path, "--help")
    assert (overview.returncode, overview.stderr) == (0, "")
    assert "decompress" not in overview.stdout
    assert "mixture" not in run(tmp_path, "eval", "--help").stdout
