"""`elman export RUN model.py`: a file that computes with NumPy alone what the model does."""

import ast
import runpy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.engine import get_engine
from elman.errors import ElmanError
from elman.formats import export, import_, python
from elman.model import Model
from elman.network.parameters import Architecture, Parameters
from elman.ngram.counting import count_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Alphabet, Corpus
from support import tolerances
from support.random_model import normal_model, random_prior_model
from support.training import train

TEXT = "the cat | sat on the mat,\nand\tthe dog lay by the door.\n" * 20
PROGRAM = Path(python.__file__).with_name("model.py")


def export_and_run(model: Model, folder: Path) -> Any:
    """Return the model of the exported file."""
    export(model, folder / "model.py")
    return runpy.run_path(str(folder / "model.py"))["model"]


def assert_same(found: Any, model: Model, text: str) -> None:
    """Three texts, of which one is another, are predicted alike; and scored and sampled."""
    x = np.repeat(model.alphabet.encode(text).astype(int)[:, None], 3, axis=1)
    x[1:, 1] = np.random.default_rng(1).integers(0, len(model.alphabet), len(x) - 1)
    state, found_state = model.start(3), found.start(3)
    for row in x:
        before = found_state
        state, log_p = model.step(state, row)
        found_state, found_log_p = found.step(before, row)
        assert tolerances.largest_relative_error(found_log_p, log_p) < tolerances.TORCH_FLOAT32
    np.testing.assert_array_equal(found.step(before, x[-1])[1], found_log_p)
    _, one = found.step([part[[1]] for part in before], x[-1, 1:2])
    np.testing.assert_allclose(one[0], found_log_p[1], tolerances.SINGLE, tolerances.SINGLE)
    score, losses = model.score(text), found.score(text)
    assert len(losses) == score.chars
    assert losses.sum() == pytest.approx(score.nats, rel=tolerances.TORCH_FLOAT32)
    for prompt in ("", "the"):
        assert found.sample(60, prompt, seed=2) == model.sample(60, prompt=prompt, seed=2)


@pytest.mark.parametrize("order", [0, 3])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_network_and_its_prior(tmp_path: Path, cell: str, layers: int, order: int) -> None:
    characters = "".join(dict.fromkeys(TEXT))
    model = random_prior_model(TEXT, cell, layers, order) if order else normal_model(characters, cell, layers)
    assert_same(export_and_run(model, tmp_path), model, TEXT[:100])


@pytest.mark.parametrize("options", [{"min_count": 21}, {"lines": True}, {"preset": "quick", "lines": True}])
def test_a_trained_model(tmp_path: Path, options: dict[str, Any]) -> None:
    sizes = {"hidden_size": 8, "max_updates": 20} if "preset" in options else {"preset": "counts"}
    model = train(Corpus.from_text(TEXT), ngram_order=5, validation=0, **sizes | options).model
    found = export_and_run(model, tmp_path)
    assert_same(found, model, TEXT[:100])
    if model.alphabet.has_unknown:
        np.testing.assert_array_equal(found.encode("🙂"), [len(found.alphabet) - 1])
    else:
        with pytest.raises(ValueError, match=r"^the model does not know the character '🙂'$"):
            found.score("the 🙂")
    with pytest.warns(UserWarning, match="not its network") if "preset" in options else nullcontext():
        export(model, tmp_path / "model.arpa")
    imported = import_(tmp_path / "model.arpa")
    assert_same(export_and_run(imported, tmp_path), imported, TEXT[:100])
    export(model, tmp_path / "beside.npz")
    beside = runpy.run_path(str(PROGRAM))["Model"](tmp_path / "beside.npz")
    assert beside.sample(40, seed=1) == found.sample(40, seed=1)


@pytest.mark.parametrize("of_lines", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_the_counts_of_every_alphabet(tmp_path: Path, size: int, of_lines: bool) -> None:
    generator, spec = np.random.default_rng(5), NgramSpec(size, 4, reset_at=0 if of_lines else None)
    text = (generator.integers(0, size, 4_000) * generator.random(4_000)).astype(np.uint16)
    net = Architecture(size, 0, "rnn", 1, *spec[1:])
    arrays = {name: np.full(shape, float(name == "alpha"), np.float32) for name, shape in net.shapes().items()}
    alphabet = Alphabet("\n" + "".join(map(chr, range(0x4E00, 0x4E00 + size - 1))))
    parameters = Parameters(net, arrays, count_ngrams(text, spec))
    model = Model(alphabet, parameters, net.zero_state(np.float32), get_engine("numpy"))
    found = export_and_run(model, tmp_path)
    state, found_state = model.start(), found.start()
    for k in text[:120]:
        state, log_p = model.step(state, np.array([k]))
        found_state, found_log_p = found.step(found_state, [k])
        np.testing.assert_allclose(found_log_p, log_p, tolerances.SINGLE, tolerances.SINGLE)


def test_a_model_with_masks_is_refused(tmp_path: Path) -> None:
    model = train(Corpus.from_text(TEXT), preset="counts", lines=True, mask="numbers", validation=0).model
    with pytest.raises(ElmanError, match=r"^a model with masks cannot be exported to python; export to npz$"):
        export(model, tmp_path / "model.py")


def test_the_program_is_short_and_for_an_old_python() -> None:
    source = PROGRAM.read_text("utf-8")
    program = ast.parse(source, feature_version=(3, 8))
    imported = {each.names[0].name for each in ast.walk(program) if isinstance(each, ast.Import | ast.ImportFrom)}
    assert imported == {"base64", "io", "gzip", "json", "numpy"}
    assert len(source.splitlines()) <= 200
