"""Runs whose initial weights the caller sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.network.parameters import Parameters
from elman.text import Corpus
from support import reference_impl, tolerances
from support.state import TEXT

CORPUS = Corpus.from_text(TEXT)
K, M, T = len(CORPUS.alphabet), 7, 5
OPTIONS: dict[str, Any] = {"preset": "reference", "seq_length": T, "sample_every": 0, "engine": "numpy"}


@pytest.fixture
def weights() -> dict[str, Any]:
    shapes, generator = {"U": (M, K), "W": (M, M), "V": (K, M), "b": (M,), "c": (K,)}, np.random.default_rng(5)
    return {name: generator.normal(size=shape) for name, shape in shapes.items()}


def first_loss(initial: Any, **options: Any) -> float:
    run = elman.train(CORPUS, initial=initial, max_updates=1, **OPTIONS | options)
    return run.metrics[-1].loss


def test_the_losses_are_those_of_the_weights(weights: dict[str, Any]) -> None:
    options = OPTIONS | {"max_updates": 3, "metrics_every": 1}
    losses = [row.loss for row in elman.train(CORPUS, initial=weights, **options).metrics]
    other = [row.loss for row in elman.train(CORPUS, hidden_size=M, **options).metrics]
    loss = reference_impl.loss(weights, np.zeros(M), CORPUS.indices[:T], CORPUS.indices[1 : T + 1]) / T
    assert losses[0] == pytest.approx(loss, rel=tolerances.NAIVE)
    assert abs(losses[0] - other[0]) > 0.1
    assert losses[2] < losses[0]


def test_every_form_gives_the_same_run(weights: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **weights)
    columns = weights | {name: weights[name][:, None].tolist() for name in "bc"}
    net = elman.train(CORPUS, hidden_size=M, max_updates=1, **OPTIONS).state.parameters.architecture
    forms = [weights, columns, tmp_path / "own.npz", str(tmp_path / "own.npz"), Parameters(net, dict(weights))]
    assert len({first_loss(form) for form in forms}) == 1


def test_the_arrays_are_not_changed_and_the_run_names_their_origin(weights: dict[str, Any], tmp_path: Path) -> None:
    before = {name: array.copy() for name, array in weights.items()}
    np.savez(tmp_path / "own.npz", **weights)
    for initial, path in ((weights, None), (tmp_path / "own.npz", str(tmp_path / "own.npz"))):
        run = elman.train(CORPUS, out=tmp_path / f"run{path is None}", initial=initial, max_updates=9, **OPTIONS)
        assert run.init_from is not None
        assert (run.init_from.path, run.config.hidden_size) == (path, M)
        manifest = elman.open_run(tmp_path / f"run{path is None}").manifest
        assert manifest["init_from"]["sha256"] == run.init_from.sha256
    assert all(np.array_equal(before[name], weights[name]) for name in before)


def test_other_cells_take_their_arrays(weights: dict[str, Any]) -> None:
    trained = elman.train(CORPUS, cell="gru", layers=2, hidden_size=3, max_updates=5, **OPTIONS)
    run = elman.train(CORPUS, cell="gru", layers=2, initial=trained.state.parameters, max_updates=1, **OPTIONS)
    first = elman.train(CORPUS, cell="gru", layers=2, hidden_size=3, max_updates=1, **OPTIONS)
    assert run.metrics[-1].loss < first.metrics[-1].loss


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"U": np.zeros((K, M))}, {}, rf"initial\['U'\] has shape \({K}, {M}\), but .* need \({M}, {K}\)$"),
        ({"b": np.zeros((1, M))}, {}, rf"initial\['b'\] has shape \(1, {M}\)"),
        ({"c": "text"}, {}, r"initial\['c'\] must be an array of real numbers \(got <U4\)"),
        ({"W": np.zeros((M, M), complex)}, {}, r"initial\['W'\] must be an array of real numbers \(got complex128\)"),
        ({"d": np.zeros(3)}, {}, r"initial must have the arrays U, W, V, b, c \(got U, W, V, b, c, d\)"),
        ({"W": np.full((M, M), np.nan)}, {}, r"initial\['W'\] contains values that are not finite in float64"),
        ({"W": np.full((M, M), 1e300)}, {"dtype": "float32"}, "not finite in float32"),
        ({}, {"hidden_size": M + 1}, rf"initial\['U'\] has shape \({M}, {K}\), but .* need \({M + 1}, {K}\)$"),
        ({}, {"resume": True}, "cannot combine initial with resume=True"),
        ({}, {"init_from": "model"}, "cannot combine initial with init_from"),
    ],
)
def test_unusable_weights_are_one_line(
    weights: dict[str, Any], change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ElmanError, match=message) as caught:
        elman.train(CORPUS, initial=weights | change, max_updates=1, **OPTIONS | options)
    assert "\n" not in str(caught.value)


def test_unusable_files_are_one_line(weights: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays", encoding="utf-8")
    elman.export(elman.train(CORPUS, hidden_size=M, max_updates=1, **OPTIONS).model, tmp_path / "exported.npz")
    for name, message in (
        ("absent.npz", "there is no file"),
        ("text.npz", "not a complete file written by numpy.savez"),
        ("exported.npz", "is an exported model: pass init_from"),
    ):
        with pytest.raises(ElmanError, match=message):
            elman.train(CORPUS, initial=tmp_path / name, max_updates=1, **OPTIONS)
    with pytest.raises(ElmanError, match=r"initial must be an .npz file or arrays by name \(got int\)"):
        elman.train(CORPUS, initial=3, max_updates=1, **OPTIONS)  # type: ignore[arg-type]
