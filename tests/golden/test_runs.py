"""The golden files of runs and models, which `write_runs.py` made, are read, used and resumed as expected."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.config import make_config
from elman.runs.directory import RunDirectory
from golden.write_runs import DATA, RUNS, SMALL, expect_of_model, expect_of_run, load_all, read_corpus
from support.tolerances import GOLDEN

EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text("utf-8"))
MODELS = load_all(DATA)


def assert_agrees(found: Any, expected: Any) -> None:
    """Texts and integers are equal, and floating-point numbers up to their last bits."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_agrees(found[key], expected[key])
    elif isinstance(expected, float) or (isinstance(expected, list) and expected and isinstance(expected[0], float)):
        assert found == pytest.approx(expected, rel=GOLDEN)
    else:
        assert found == expected


@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_what_is_expected(name: str) -> None:
    assert_agrees(expect_of_model(MODELS[name]), EXPECTED["models"][name])
    compiled = elman.load(DATA / name, engine="numba")
    assert compiled.score("the rain fell\n").nats == pytest.approx(EXPECTED["models"][name]["nats"], rel=GOLDEN)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_opened_and_resumed(name: str, tmp_path: Path) -> None:
    out = Path(shutil.copytree(DATA / name, tmp_path / name))
    saved = elman.open_run(out)
    assert saved.config == make_config("reference", {**SMALL, **RUNS[name]})
    assert saved.manifest["stopped"] == "interrupted"
    assert [sample.text for sample in saved.samples] == EXPECTED["resumed"][name]["samples"][: len(saved.samples)]
    assert RunDirectory(out).load().state.update == saved.metrics[-1].update < 20
    resumed = elman.train(read_corpus(name), out=out, resume=True)
    assert_agrees(expect_of_run(resumed), EXPECTED["resumed"][name])
