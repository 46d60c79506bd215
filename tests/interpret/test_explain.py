"""`explain` and probing: against the reference, against counting by hand, and with planted units."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.engine import get_engine
from elman.errors import ElmanError, quote
from elman.inference.score import score
from elman.interpret import activations as explaining
from elman.interpret.activations import Unit, dequantize, explain, list_units, quantize
from elman.interpret.features import FEATURES
from elman.interpret.probing import MIN_ONSETS, REPORTED_UNITS, FeatureProbe, probe_units, select_units
from elman.network import Parameters, architecture, initial_parameters, model
from elman.network.cells.spec import CELL_STATE, HIDDEN_STATE
from elman.network.parameters import Array
from elman.text import Corpus, with_unknown
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats
from support.cli import Command
from support.random_model import random_model
from support.tolerances import COMPILED, DEVIATIONS, RANKS, ROUNDINGS, SINGLE
from support.training import train

K, M, N = 7, 4, 90
CELLS = pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 1), ("lstm", 1), ("rnn", 2), ("lstm", 2)])


def made(cell: str, layers: int = 1, K: int = K) -> tuple[Parameters, Array, Any]:
    """Return a network, a state and a text."""
    generator = np.random.RandomState(1)
    parameters = initial_parameters(K, M, 0.7, generator, np.float64, cell, layers)
    h0 = np.tanh(generator.randn(architecture(parameters).state_size))
    return parameters, h0, np.random.default_rng(2).integers(K, size=N, dtype=np.uint8)


# --- Surprisal, predictions, activations ---


@CELLS
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_characters_in_the_state_of_a_prior_are_no_units(engine: str, cell: str, layers: int) -> None:
    made = random_model("abcd", cell, layers, ngram_order=3)
    indices = np.random.default_rng(2).integers(4, size=N, dtype=np.uint8)
    found = explain(get_engine(engine), made.parameters, made.h, indices)
    assert found.units == list_units(architecture(made.parameters))
    assert found.quantized.shape == (N, len(found.units))
    nats, _ = get_engine(engine).loss(made.parameters, made.h, indices[:-1], indices[1:])
    assert found.nats_per_char == pytest.approx(nats / (N - 1), rel=SINGLE)


@CELLS
@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_it_tells_what_the_reference_computes(
    monkeypatch: pytest.MonkeyPatch, engine: str, cell: str, layers: int
) -> None:
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 8 * (K + 2 * layers * M))  # slices of 8 to 12 characters
    parameters, h, indices = made(cell, layers)
    found = explain(get_engine(engine), parameters, h, indices)
    assert math.isnan(found.surprisal[0])
    assert not found.probabilities[0].any()
    for n in range(N):
        o, h = model.logits(parameters, h, indices[n : n + 1])
        state = h.copy()
        if cell == "lstm":
            for layer in range(layers):
                cell_state = slice((2 * layer + 1) * M, (2 * layer + 2) * M)
                state[cell_state] = np.tanh(state[cell_state])
        assert np.abs(quantize(state).astype(int) - found.quantized[n]).max() <= 1  # 1 if two levels are equally near
        if n + 1 < N:
            p = np.exp(o[0]) / np.exp(o[0]).sum()
            assert found.surprisal[n + 1] == pytest.approx(-np.log2(p[indices[n + 1]]), rel=1e-5)
            np.testing.assert_array_equal(found.candidates[n + 1], np.argsort(-p)[:5])
            np.testing.assert_allclose(found.probabilities[n + 1], np.sort(p)[::-1][:5], rtol=1e-5)


@CELLS
def test_its_surprisal_is_that_of_the_score(cell: str, layers: int) -> None:
    parameters, h0, indices = made(cell, layers)
    engine = get_engine("numba")
    expected = score(engine, parameters, h0, indices)
    found = explain(engine, parameters, h0, indices)
    assert found.nats_per_char == pytest.approx(expected.nats_per_char, rel=1e-6)  # stored in float32
    assert found.bits_per_char == pytest.approx(expected.bits_per_char, rel=1e-6)


# --- Unknown characters ---

FLOAT32_RTOL = ROUNDINGS * float(np.finfo(np.float32).eps)
"""Relative error of values that are stored in float32."""


def insert_unknown(indices: Any, before: list[int]) -> Any:
    """Insert an unknown character before each of the given positions; N is the end of the text."""
    return np.insert(indices, before, K + 1 + np.arange(len(before)))


UNKNOWN_POSITIONS = pytest.mark.parametrize(
    "before",
    [[0], [N], [0, 0, 0, N, N], [1, 40], [*[0] * 30, 2, *[50] * 40, N - 1]],
    ids=["first", "last", "both ends", "within", "whole slices"],
)


@UNKNOWN_POSITIONS
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_unknown_characters_cost_what_the_score_says(
    monkeypatch: pytest.MonkeyPatch, engine: str, cell: str, before: list[int]
) -> None:
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 8 * (K + M))  # slices of 5 to 8 characters
    parameters, h0, indices = made(cell)
    extended = insert_unknown(indices, before)
    found, expected = (
        explain(get_engine(engine), parameters, h0, extended),
        score(get_engine(engine), parameters, h0, extended),
    )
    assert (found.chars, N - 1 + len(before)) == (expected.chars, expected.chars)
    assert found.nats_per_char * found.chars == pytest.approx(expected.nats, rel=FLOAT32_RTOL)
    unknown = extended >= K
    np.testing.assert_allclose(found.surprisal[unknown] * math.log(2), unknown_nats(K), rtol=FLOAT32_RTOL)


@UNKNOWN_POSITIONS
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_unknown_characters_are_skipped(monkeypatch: pytest.MonkeyPatch, cell: str, before: list[int]) -> None:
    parameters, h0, indices = made(cell)
    plain = explain(get_engine("numpy"), parameters, h0, indices)
    monkeypatch.setattr(explaining, "MAX_SLICE_VALUES", 8 * (K + M))
    extended = insert_unknown(indices, before)
    found, known = explain(get_engine("numpy"), parameters, h0, extended), extended < K
    np.testing.assert_array_equal(found.quantized[known], plain.quantized)
    np.testing.assert_array_equal(found.candidates[known][1:], plain.candidates[1:])
    less = math.exp(-KNOWN_PENALTY_NATS)
    np.testing.assert_allclose(found.probabilities[known], plain.probabilities * less, rtol=FLOAT32_RTOL)
    np.testing.assert_allclose(
        found.surprisal[known], plain.surprisal + KNOWN_PENALTY_NATS / math.log(2), rtol=FLOAT32_RTOL
    )
    for n in np.flatnonzero(~known):
        held = (
            found.quantized[n - 1]
            if n
            else explain(get_engine("numpy"), parameters, h0, extended[~known][[0, 0]]).quantized[0]
        )
        np.testing.assert_array_equal(found.quantized[n], held)
        if known[n:].any():  # expected in its place was what comes next
            after = n + int(np.argmax(known[n:]))
            np.testing.assert_array_equal(found.candidates[n], found.candidates[after])
            np.testing.assert_array_equal(found.probabilities[n], found.probabilities[after])


def test_behind_the_last_that_is_known_something_is_expected() -> None:
    parameters, h0, indices = made("gru")
    found = explain(get_engine("numpy"), parameters, h0, np.append(indices, [K, K]).astype(np.uint8))
    o, _ = model.logits(parameters, h0, indices)
    p = np.exp(o[-1]) / np.exp(o[-1]).sum()
    for n in (N, N + 1):
        np.testing.assert_array_equal(found.candidates[n], np.argsort(-p)[:5])
        np.testing.assert_allclose(
            found.probabilities[n], np.sort(p)[::-1][:5] * math.exp(-KNOWN_PENALTY_NATS), rtol=FLOAT32_RTOL
        )


@CELLS
def test_of_nothing_but_unknown_characters_nothing_is_read(cell: str, layers: int) -> None:
    parameters, h0, _ = made(cell, layers)
    found = explain(get_engine("numba"), parameters, h0, np.full(4, K, np.uint8))
    assert found.chars == 4
    assert found.nats_per_char == pytest.approx(unknown_nats(K), rel=FLOAT32_RTOL)
    assert not found.probabilities.any()
    cell_state = [unit.vector == CELL_STATE for unit in list_units(architecture(parameters))]
    np.testing.assert_array_equal(found.quantized, np.tile(quantize(np.where(cell_state, np.tanh(h0), h0)), (4, 1)))


def test_from_python_a_text_is_encoded_with_its_unknown_characters() -> None:
    network = random_model("ab")
    indices = with_unknown(network.alphabet).encode("é" + "ab" * 20 + "漢")
    found = explain(network.engine, network.parameters, network.h, indices)
    assert found.nats_per_char == pytest.approx(network.score("é" + "ab" * 20 + "漢").nats_per_char, rel=SINGLE)


# --- Quantization, units, limits ---


def test_an_alphabet_of_three_has_three_candidates() -> None:
    parameters, h0, indices = made("rnn", K=3)
    found = explain(get_engine("numpy"), parameters, h0, indices)
    assert found.candidates.shape == (N, 3)
    np.testing.assert_allclose(found.probabilities[1:].sum(axis=1), 1, rtol=1e-6)


@given(st.floats(-1, 1))
def test_a_code_stands_for_nearly_its_activation(value: float) -> None:
    restored = float(dequantize(quantize(np.array([value])))[0])
    assert abs(restored - value) <= math.sqrt(abs(value)) / 127 + 2e-5


def test_codes_have_a_middle_and_ends() -> None:
    assert quantize(np.array([-1.5, -1.0, 0.0, 1.0, 1.5])).tolist() == [0, 0, 127, 254, 254]


def test_units_are_named_in_the_order_of_the_state() -> None:
    names = list_units(architecture(made("lstm", 2)[0]))
    assert len(names) == 4 * M
    assert names[M] == Unit(1, 1, CELL_STATE)
    assert [names[M].part, names[0].part] == ["memory", "hidden"]  # the names in JSON
    assert names[2 * M + 1] == Unit(2, 2, HIDDEN_STATE)


@pytest.mark.parametrize("length", [0, 1])
def test_a_text_too_short_is_refused(length: int) -> None:
    parameters, h0, indices = made("rnn")
    with pytest.raises(ElmanError, match=rf"^a text needs at least 2 characters to be explained \(got {length}\)$"):
        explain(get_engine("numpy"), parameters, h0, indices[:length])


def test_a_text_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MAX_CHARS", N - 1)
    with pytest.raises(ElmanError, match=r"^a text may have at most 89 characters to be explained \(got 90\);"):
        explain(get_engine("numpy"), *made("rnn"))


def test_a_network_of_no_numbers_is_refused() -> None:
    parameters, h0, indices = made("rnn")
    parameters["c"][0] = np.nan
    with pytest.raises(ElmanError, match="not finite; train again with a lower learning rate"):
        explain(get_engine("numpy"), parameters, h0, indices)


# --- Features ---

BY_HAND = {
    "position in the line": ("ab\ncd", [1, 2, 0, 1, 2]),
    "position in the sentence": ("Go. We?!x", [1, 2, 0, 1, 2, 3, 0, 0, 1]),
    "length of the word so far": ("it's ok", [1, 2, 0, 1, 0, 1, 2]),
    "indentation": ("  a b\n\tc\nd", [1, 2, 2, 2, 2, 0, 1, 1, 0, 0]),
    "inside quotes": ('a "b" “c” "d\n\ne', [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0]),
    "inside brackets": ("f(a[0]) (\n\n)x", [0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0]),
    "after a sentence": ('Go." We', [0, 0, 1, 1, 1, 0, 0]),
    "line feed": ("a\nb", [0, 1, 0]),
    "space": ("a b", [0, 1, 0]),
    "upper case": ("aB1É", [0, 1, 0, 1]),
    "letter": ("aé1 ", [1, 1, 0, 0]),
    "vowel": ("aBEy", [1, 0, 1, 0]),
    "digit": ("a1٣", [0, 1, 1]),
    "punctuation": ("a,-”+", [0, 1, 1, 1, 0]),
}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_what_can_be_named_is_counted_as_by_hand(feature: Any) -> None:
    text, expected = BY_HAND[feature.name]
    assert feature.compute(text).tolist() == expected
    assert feature.compute("").shape == (0,)


@given(st.text(alphabet='aB 1\n".(“”)[]!\t', max_size=40), st.integers(0, 40))
def test_nothing_that_is_named_looks_ahead(text: str, cut: int) -> None:
    for feature in FEATURES:
        np.testing.assert_array_equal(feature.compute(text)[:cut], feature.compute(text[:cut]))


# --- Probing ---

_generator = np.random.default_rng(5)
WORDS = ("one", "Two", '"three', 'four"', "(five)", "six.", "7", "eight\n")
TEXT = " ".join(_generator.choice(WORDS, 4000))
NOISE = quantize(_generator.uniform(-1, 1, (len(TEXT), 12)))


def feature_named(name: str) -> Any:
    return next(feature for feature in FEATURES if feature.name == name)


def best_of(found: list[FeatureProbe], name: str) -> FeatureProbe:
    return next(each for each in found if each.feature.name == name)


@pytest.fixture(scope="module")
def planted() -> Any:
    """Activations of noise, but for units 3, 5 and 8, which track features in some noise."""
    activations, generator = NOISE.copy(), np.random.default_rng(6)
    quotes, line = feature_named("inside quotes").compute(TEXT), feature_named("position in the line").compute(TEXT)
    activations[:, 3] = quantize(np.where(generator.random(len(TEXT)) < 0.9, 0.02 * quotes - 0.01, 0.0))
    activations[:, 5] = quantize(-line / line.max())
    activations[:, 8] = quantize(0.9 * feature_named("digit").compute(TEXT))
    return activations


def test_planted_units_are_found(planted: Any) -> None:
    found = probe_units(planted, TEXT)
    quotes = best_of(found, "inside quotes").best[0]
    assert (quotes.unit, quotes.rises) == (3, True)
    assert quotes.score == pytest.approx(0.995, abs=0.001)  # a tenth of each side ties with a tenth of the other
    assert quotes.baseline < 0.6
    line = best_of(found, "position in the line").best[0]
    assert (line.unit, line.rises) == (5, False)
    assert line.score > 0.99
    digit = best_of(found, "digit").best[0]
    assert (digit.unit, digit.rises) == (8, True)
    assert digit.score == pytest.approx(1.0, rel=RANKS)
    assert all(len(each.best) == REPORTED_UNITS for each in found if len(each.ranking))


def average_ranks(x: Array) -> Array:
    """Return the rank of every number, from 1 on; equal numbers have the mean of their ranks."""
    ordered = np.sort(x)
    return (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right") + 1) / 2


def test_scores_are_those_of_the_second_half(planted: Any) -> None:
    half = len(TEXT) // 2
    for each in probe_units(planted, TEXT):
        second = each.values[half:]
        for unit_score in each.best:
            x, sign = dequantize(planted[half:, unit_score.unit]), 1 if unit_score.rises else -1
            if each.feature.is_binary:
                there, elsewhere = np.sort(x[second > 0]), np.sort(x[second == 0])
                below = np.searchsorted(elsewhere, there, "left") + np.searchsorted(elsewhere, there, "right")
                expected = below.mean() / 2 / len(elsewhere)
                assert unit_score.score == pytest.approx(expected if unit_score.rises else 1 - expected, abs=1e-6)
            else:
                spearman = np.corrcoef(average_ranks(x), average_ranks(second))[0, 1]
                assert unit_score.score == pytest.approx(sign * spearman, abs=1e-6)


def test_noise_is_good_on_the_half_it_was_selected_on_alone() -> None:
    n = 2000
    text, activations = TEXT[:n], quantize(np.random.default_rng(7).uniform(-1, 1, (n, 400)))
    vowel = best_of(probe_units(activations, text), "vowel")
    sigma = math.sqrt(1 / 3 / (n / 2) / 4 / (vowel.values.mean() * (1 - vowel.values.mean())))  # of an AUC by chance
    first, x = vowel.values[: n // 2], dequantize(activations[: n // 2, vowel.best[0].unit])
    there, elsewhere = x[first > 0], x[first == 0]
    selected_on = (there[:, None] > elsewhere).mean()
    assert max(selected_on, 1 - selected_on) > 0.5 + 2 * sigma
    assert abs(vowel.best[0].score - 0.5) < DEVIATIONS * sigma
    assert 0.5 < vowel.best[0].baseline < 0.5 + DEVIATIONS * sigma


def test_a_unit_that_never_moves_keeps_track_of_nothing() -> None:
    activations = np.full((len(TEXT), 1), 127, np.uint8)
    for each in probe_units(activations, TEXT):
        assert all(unit_score.score == (0.5 if each.feature.is_binary else 0) for unit_score in each.best)


def test_what_is_rare_is_not_ranked() -> None:
    text = ("one two\n" * 50 + '"' * (2 * MIN_ONSETS - 1)) * 2
    found = probe_units(quantize(np.zeros((len(text), 3))), text)
    assert len(best_of(found, "space").ranking) == 3
    assert not best_of(found, "inside quotes").best
    assert not len(best_of(found, "inside quotes").ranking)


@pytest.mark.parametrize("text", ["ab", "a" * 30, "\n" * 30, "a b " * 11])
def test_any_text_can_be_held_against_units(text: str) -> None:
    found = probe_units(quantize(np.zeros((len(text), 2))), text)
    assert len(found) == len(FEATURES)
    assert len(select_units(found, 2, 1)) == 1


def test_units_are_selected_in_turns(planted: Any) -> None:
    found = probe_units(planted, TEXT)
    best = list(dict.fromkeys(int(each.ranking[0]) for each in found if len(each.ranking)))
    assert select_units(found, 12, len(best)) == best
    assert sorted(select_units(found, 12, 99)) == list(range(12))
    assert select_units([], 12, 3) == [0, 1, 2]


# --- The command ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory."""
    folder = tmp_path_factory.mktemp("explain") / "run"
    settings: Any = {"cell": "gru", "hidden_size": 6, "seq_length": 5, "engine": "numpy", "sample_every": 0}
    train(Corpus.from_text(TEXT[:2000]), out=folder, max_updates=20, **settings)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A text to explain."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT[2000:4000], encoding="utf-8", newline="")
    return path


def test_the_command_prints_figures_as_json(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, err = command("explain", run, file, "--out", page, "--units", "4", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert (figures["chars"], figures["units"], figures["units_in_page"]) == (1999, 6, 4)
    assert figures["bytes"] == page.stat().st_size
    code, out, _ = command("eval", run, file, "--json")
    assert figures["nats_per_char"] == pytest.approx(json.loads(out)["nats_per_char"], rel=10 * COMPILED + 1e-6)
    space = next(thing for thing in figures["things"] if thing["name"] == "space")
    assert space["measure"] == "auc"
    assert list(space["best"][0]) == ["layer", "number", "part", "rises", "score", "chance"]


def test_the_command_prints_figures_for_a_person(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    code, out, _ = command("explain", run, file, "--out", tmp_path / "page.html")
    assert code == 0
    assert "units in page  6" in out
    assert f"page: {tmp_path / 'page.html'}" in out


@pytest.mark.parametrize("text", ["one 漢 two", "漢é one", "one two漢", "漢字", "漢o", "o漢"])
def test_unknown_characters_count_as_in_eval(command: Command, run: Path, tmp_path: Path, text: str) -> None:
    extended = tmp_path / "extended.txt"
    extended.write_text(text, encoding="utf-8")
    code, out, err = command("explain", run, extended, "--out", tmp_path / "page.html", "--json")
    assert (code, err) == (0, "")
    figures, (_, out, _) = json.loads(out), command("eval", run, extended, "--json")
    expected = json.loads(out)
    assert figures["nats_per_char"] == pytest.approx(expected["nats_per_char"], rel=SINGLE)
    assert [figures[name] for name in ("chars", "unknown_chars")] == [expected["chars"], expected["unknown_chars"]]


def test_a_text_without_unknown_characters_counts_none(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    _, out, _ = command("explain", run, file, "--out", tmp_path / "page.html", "--json")
    assert "unknown_chars" not in json.loads(out)


def test_a_model_that_folds_knows_every_character(command: Command, tmp_path: Path) -> None:
    folder, text, page = tmp_path / "run", tmp_path / "text.txt", tmp_path / "page.html"
    settings: Any = {"hidden_size": 4, "seq_length": 5, "engine": "numpy", "sample_every": 0, "min_count": 2}
    train(Corpus.from_text("abc" * 50 + "é"), out=folder, max_updates=2, **settings)
    text.write_text("ab漢cé", encoding="utf-8")
    code, out, _ = command("explain", folder, text, "--out", page, "--json")
    figures, (_, out_of_eval, _) = json.loads(out), command("eval", folder, text, "--json")
    assert (code, figures["chars"], "unknown_chars" in figures) == (0, 4, False)
    assert figures["nats_per_char"] == pytest.approx(json.loads(out_of_eval)["nats_per_char"], rel=SINGLE)
    assert "<div>ab�c�</div>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "text.txt' is empty: use a text of at least two characters\n"),
        ("漢", "error: a text needs at least 2 characters to be explained (got 1)\n"),
    ],
)
def test_a_file_too_short_is_refused(command: Command, run: Path, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    code, out, err = command("explain", run, tmp_path / "text.txt", "--out", tmp_path / "page.html")
    assert (code, out, err.endswith(says), err.count("\n")) == (2, "", True, 1)
    assert not (tmp_path / "page.html").exists()


def test_too_few_units_are_refused(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    code, _, err = command("explain", run, file, "--out", tmp_path / "page.html", "--units", "0")
    assert (code, err) == (2, "error: --units must be at least 1 (got 0)\n")


@pytest.mark.parametrize("out", ["text", "run/checkpoint.safetensors", "run/metrics.csv", "run/run.json"])
def test_what_is_read_is_not_replaced(command: Command, run: Path, file: Path, out: str) -> None:
    path = file if out == "text" else run / Path(out).name
    before = path.read_bytes()
    code, _, err = command("explain", run, file, "--out", path)
    assert (code, err) == (2, f"error: --out would replace an input file (got {quote(path)})\n")
    assert path.read_bytes() == before


def test_a_page_that_cannot_be_written_is_said(command: Command, run: Path, file: Path, tmp_path: Path) -> None:
    code, _, err = command("explain", run, file, "--out", tmp_path / "nowhere" / "page.html")
    assert code == 2
    assert "cannot write" in err
