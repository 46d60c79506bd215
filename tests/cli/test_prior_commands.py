"""The commands that write what a model with an n-gram prior contains or computes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from elman.interop import FORMATS
from elman.runs.models import load
from support.cells import COMPILED_CELLS, IMPORTED_FORMATS
from support.cli import Command
from support.state import TEXT
from support.training import train

TEST = "a dark night;\nthe rain at night\nexcept torrents.\n"
ORDER, M = 3, 5


@pytest.fixture(scope="module", params=COMPILED_CELLS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of a small model with a prior, and next to it a text."""
    folder = tmp_path_factory.mktemp("prior")
    for name, text in (("text", TEXT * 12), ("test", TEST)):
        (folder / name).write_text(text, encoding="utf-8", newline="")
    train(
        folder / "text",
        cell=request.param,
        ngram_order=ORDER,
        max_updates=20,
        hidden_size=M,
        seq_length=8,
        sample_every=0,
        out=folder / "run",
    )
    return folder / "run"


def test_explain_shows_the_recurrent_units(command: Command, run: Path) -> None:
    code, out, err = command("explain", run, run.parent / "test", "--out", run.parent / "page.html", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert figures["units"] == (2 * M if load(run).parameters.cell == "lstm" else M)
    assert figures["nats_per_char"] == pytest.approx(load(run).score(TEST).nats_per_char, rel=1e-5)
    prior, known = figures["ngram"], math.log(len(load(run).alphabet)) - figures["nats_per_char"]
    assert prior["order"] == ORDER
    assert prior["counting_nats_per_char"] + prior["network_nats_per_char"] == pytest.approx(known, rel=1e-4)
    code, out, _ = command("explain", run, run.parent / "test", "--out", run.parent / "page.html")
    assert code == 0
    assert "counting nats per char" in out


@pytest.mark.parametrize("to", IMPORTED_FORMATS)
def test_export_and_import(command: Command, run: Path, to: str) -> None:
    if to == "onnx":
        pytest.importorskip("onnx")
    file, again = run.parent / f"network{FORMATS[to].SUFFIX}", run.parent / f"again-{to}"
    assert command("export", run, file).code == 0
    assert command("import", file, again).code == 0
    before, after = load(run), load(again)
    np.testing.assert_array_equal(after.h, before.h)
    assert after.score(TEST).nats == before.score(TEST).nats
    sampled = [command("sample", folder, "--length", 60, "--seed", 1).out for folder in (run, again)]
    assert sampled[0] == sampled[1]
