"""Lines scored in one batch cost what each costs alone."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
from elman.engine import get_engine
from elman.model import Model
from elman.model import score_lines as scoring
from elman.model.score_lines import Line, score_lines
from elman.network import SamplingParams
from elman.network.cells import CELLS
from elman.network.state import State
from elman.text import Alphabet, Corpus
from elman.text.unknown import KNOWN_PENALTY_NATS, unknown_nats
from support import tolerances as tolerances
from support.cli import Command, assert_refused
from support.networks import make_parameters, state_of, window_loss
from support.random_model import random_prior_model
from support.state import generate
from support.tolerances import SINGLE

KNOWN = "ab c\nd"
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


def made(engine: str = "numpy", alphabet: Alphabet | None = None, cell: str = "gru") -> Model:
    generator = np.random.RandomState(1)
    known = alphabet or Alphabet(KNOWN)
    parameters = make_parameters(len(known), 6, 0.7, generator, np.float64, cell)
    state = state_of(parameters, np.tanh(generator.randn(parameters.architecture.state_size)))
    return Model(known, parameters, state, get_engine(engine))


def random_lines(count: int, longest: int = 40, seed: int = 2) -> list[str]:
    generator = np.random.default_rng(seed)
    letters = list(KNOWN.replace("\n", ""))
    return ["".join(generator.choice(letters, generator.integers(longest + 1))) for _ in range(count)]


@cache
def beginning(cell: str = "gru") -> State:
    """Return the initial state of a line of `made`, computed one sampled text at a time."""
    model, states = made(cell=cell), []
    feed = model.alphabet.characters.index("\n")
    steps, count = scoring.SAMPLE_SHAPE
    uniforms = np.random.default_rng(0).random((steps, count))
    for n in range(count):
        state, x = model.state, feed
        for uniform in uniforms[:, n]:
            characters, _ = generate(model.engine, model.parameters, state, x, np.array([uniform]), SamplingParams())
            _, state = window_loss(model.parameters, state, np.array([x], np.uint8), np.array([0], np.uint8))
            x = int(characters[0])
            states += [state.recurrent] if x == feed else []
    return state_of(model.parameters, np.mean(states, axis=0))


def losses(model: Model, state: State, text: str) -> tuple[list[float], State]:
    """Return -log p of every character of a text but its first, one at a time, and the state."""
    indices, result = model.alphabet.encode(text), []
    for t in range(len(indices) - 1):
        nats, state = window_loss(model.parameters, state, indices[t : t + 1], indices[t + 1 : t + 2])
        result.append(nats)
    return result, state


def expected(model: Model, number: int, text: str, costs: list[float]) -> Line:
    worst = int(np.argmax(costs))
    return Line(number, text, len(costs), sum(costs), sum(sorted(costs)[-5:]), worst + 1, costs[worst])


def assert_lines(found: list[Line], wanted: list[Line]) -> None:
    assert [(*line[:3], line.worst_column) for line in found] == [(*line[:3], line.worst_column) for line in wanted]
    for name in ("nats", "worst5_nats", "worst_nats"):
        a, b = ([getattr(line, name) for line in lines] for lines in (found, wanted))
        assert a == pytest.approx(b, rel=tolerances.COMPILED)


def scored(model: Model, *chunks: str, carry_state: bool = False) -> list[Line]:
    return list(chain.from_iterable(score_lines(model, chunks, carry_state=carry_state)))


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample few characters for the initial state of a line, as `beginning` computes it one at a time."""
    monkeypatch.setattr(scoring, "SAMPLE_SHAPE", (40, 8))


@pytest.mark.usefixtures("small_sample")
@ENGINES
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_line_in_a_batch_costs_what_it_costs_alone(engine: str, cell: str, count: int) -> None:
    model, texts = made(engine, cell=cell), random_lines(count)
    state = beginning(cell)
    wanted = [expected(model, n, text, losses(model, state, f"\n{text}\n")[0]) for n, text in enumerate(texts, 1)]
    assert_lines(scored(model, "".join(f"{text}\n" for text in texts)), wanted)


@pytest.mark.usefixtures("small_sample")
@ENGINES
def test_the_state_is_carried_from_line_to_line(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr("elman.model.score.SLICE_LOSSES", 16)
    model, texts, wanted = made(engine), random_lines(30), []
    state = beginning()
    for n, text in enumerate(texts, 1):
        costs, state = losses(model, state, f"\n{text}\n")
        wanted.append(expected(model, n, text, costs))
    whole = "".join(f"{text}\n" for text in texts)
    assert_lines(scored(model, whole[:100], whole[100:], carry_state=True), wanted)
    at_once = replace(model, state=beginning()).score("\n" + whole)
    assert sum(line.nats for line in wanted) == pytest.approx(at_once.nats)


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_chunks_of_any_size_give_the_same(size: int) -> None:
    model, whole = made("numba"), "\n".join(random_lines(20)) + "\na"
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert scored(model, *pieces) == scored(model, whole) == scored(model, whole + "\n")


def test_a_line_is_scored_as_soon_as_it_is_complete() -> None:
    asked: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in ("a", "b\nc", "d", "\n\n", "a"):
            asked.append(piece)
            yield piece

    found = score_lines(made(), pieces())
    assert ([line.text for line in next(found)], asked) == (["ab"], ["a", "b\nc"])
    assert ([line.text for line in next(found)], len(asked)) == (["cd", ""], 4)
    assert [[(line.number, line.text) for line in lines] for lines in found] == [[(4, "a")]]


def test_only_a_line_feed_ends_a_line() -> None:
    model = made(alphabet=Alphabet(KNOWN + "\r\v\u2028"))
    assert [line.text for line in scored(model, "a\r\nb\vc\u2028d\n")] == ["a\r", "b\vc\u2028d"]
    assert scored(made()) == scored(made(), "") == []


@pytest.mark.parametrize("carry_state", [False, True])
def test_unknown_characters_are_skipped_at_a_fixed_cost(carry_state: bool) -> None:
    model = made()
    texts = ["ab", "a漢b 漢", "漢", "", "c"]
    plain = scored(model, "\n".join(text.replace("漢", "") for text in texts), carry_state=carry_state)
    found = scored(model, "\n".join(texts), carry_state=carry_state)
    cost = unknown_nats(len(KNOWN))
    for n, count in ((0, 0), (1, 2), (2, 1), (3, 0), (4, 0)):
        assert found[n].chars == plain[n].chars + count
        extra = count * cost + plain[n].chars * KNOWN_PENALTY_NATS if count else 0
        assert found[n].nats == pytest.approx(plain[n].nats + extra, rel=1e-12)
    assert found[2].worst5_nats == pytest.approx(found[2].nats)
    assert 2 * cost < found[1].worst5_nats < found[1].nats  # five of six characters
    assert [(line.worst_column, line.worst_char, line.worst_nats) for line in found[1:3]] == [
        (2, "漢", cost),
        (1, "漢", cost),
    ]


def test_a_known_character_may_cost_more_than_an_unknown_one() -> None:
    model = made()
    model.parameters["c"][KNOWN.index("c")] = -100
    line = scored(model, "漢a漢c漢\n")[0]
    assert (line.worst_column, line.worst_char) == (4, "c")
    assert line.worst_nats > 90


def test_a_model_without_a_line_feed_does_not_predict_the_end() -> None:
    model = made(alphabet=Alphabet("abcd "))
    found = scored(model, "bad\n\n漢\n")
    wanted = losses(model, model.state, "abad")[0]
    assert_lines(found[:1], [expected(model, 1, "bad", wanted)])
    assert found[1] == Line(2, "", 0, 0.0, 0.0, 0, 0.0)
    assert math.isnan(found[1].nats_per_char)
    assert found[1].worst_char == ""
    assert found[2] == Line(3, "漢", 1, unknown_nats(5), unknown_nats(5), 1, unknown_nats(5), "漢")


@pytest.mark.parametrize("preset", ["reference", "counts"])
@pytest.mark.parametrize("of_lines", [False, True])
def test_logits_of_one_step_at_a_time_give_the_same(
    preset: str, of_lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["anna", "bell", "an", "na na"] * 9
    run = elman.train(elman.Corpus.from_lines(lines), preset=preset, lines=of_lines, max_updates=20, progress=False)
    expected = run.model.score_lines(lines), run.model.score("\n".join(lines)).nats
    for module in ("elman.model.score_lines", "elman.engine.numba.counts"):
        monkeypatch.setattr(f"{module}.MAX_LOGITS", 1)
    found = run.model.score_lines(lines), run.model.score("\n".join(lines)).nats
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerances.COMPILED)
    assert found[1] == pytest.approx(expected[1], rel=tolerances.COMPILED)


def test_without_sampled_line_feeds_a_line_begins_where_training_ended() -> None:
    model = made()
    model.parameters["c"][KNOWN.index("\n")] = -100
    (line,) = scored(model, "ab\n")
    assert_lines([line], [expected(model, 1, "ab", losses(model, model.state, "\nab\n")[0])])


def test_an_unknown_symbol_stands_for_every_other_character_but_a_line_feed() -> None:
    model = made(alphabet=Alphabet("ab\n\ufffd", has_unknown=True))
    (line,) = scored(model, "a漢b\n")
    assert line == scored(model, "a\ufffdb\n")[0]._replace(text="a漢b")
    assert scored(made(alphabet=Alphabet("ab\n", has_unknown=True)), "ab\n")[0].chars == 2


# --- The command ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    text = Corpus.from_text("all is well\n" * 100)
    elman.train(text, out=folder / "run", preset="quick", hidden_size=8, batch_size=2, seq_length=24, max_updates=150)
    (folder / "log").write_text("all is well\nall is w\tll\n\\all\n" + "all is well\n" * 9, encoding="utf-8")
    return folder / "run"


def test_lines_are_printed_as_a_table_or_as_json(run: Path, command: Command) -> None:
    line = scored(elman.load(run), (run.parent / "log").read_text(encoding="utf-8"))[1]
    code, out, err = command("score", run, run.parent / "log")
    assert (code, err) == (0, "")
    rows = [row.split("\t") for row in out.splitlines()]
    worst = ["worst_column", "worst_char", "worst_nats", "unknown"]
    assert rows[0] == ["line", "score", "chars", "nats_per_char", *worst, "text"]
    assert len(rows) == 13
    default = scoring.AGGREGATIONS[scoring.DEFAULT_AGGREGATION](line)
    score, mean = f"{default:.4f}", f"{line.nats_per_char:.4f}"
    assert rows[2] == ["2", score, "12", mean, "9", "\\t", f"{line.worst_nats:.4f}", "\\t", "all is w\\tll"]
    assert rows[3][7:] == ["\\\\", "\\\\all"]
    out = command("score", run, run.parent / "log", "--json").out
    values = [2, default, 12, line.nats_per_char, 9, "\t", line.worst_nats, "\t", "all is w\tll"]
    assert json.loads(out.splitlines()[1]) == dict(zip(rows[0], values, strict=True))


def test_a_terminal_shows_surprising_characters(run: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.parent / "escapes").write_text("all is w\x1bll\nall is wel", encoding="utf-8")
    plain = command("score", run, run.parent / "escapes").out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    marked = command("score", run, run.parent / "escapes").out.splitlines()
    assert [row.rpartition("\t")[0] for row in marked[2:]] == [row.rpartition("\t")[0] for row in plain[2:]]
    assert marked[1].endswith("all is w\x1b[7m␛\x1b[0mll")  # the control character is not interpreted
    assert marked[2].endswith("all is wel\x1b[7m \x1b[0m")  # the end of the line
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    colored = command("score", run, run.parent / "escapes").out.splitlines()
    assert "all is w\x1b[38;5;16;48;5;203m␛" in colored[1]
    assert re.search(r"all is wel\x1b\[38;5;16;48;5;\d+m↵\x1b\[0m$", colored[2])


def test_the_losses_of_the_characters_of_a_line_are_those_of_its_score(run: Path, log_run: Path) -> None:
    for model, lines in (
        (elman.load(run), ["all is well", "漢 is é", ""]),
        (elman.load(log_run), ["12:00:01 job é 17!"]),
    ):
        scorer = scoring.BlockScorer(model, carry_state=False)
        for line in scorer.score_batch(lines):
            nats = scorer.char_nats(line.text)
            assert (len(nats), int(nats.argmax())) == (len(line.text) + 1, line.worst_column - 1)
            assert nats.max() == pytest.approx(line.worst_nats, rel=SINGLE)
            if model.masker is None:
                assert nats.sum() == pytest.approx(line.nats, rel=SINGLE)
            else:
                assert len({*nats[:8]}) == 1  # of what a mask replaces


def test_characters_that_the_model_does_not_know_are_named(run: Path) -> None:
    assert [line.unknown for line in scored(elman.load(run), "all is well\néa é漢\n")] == ["", "é漢"]


def test_the_run_that_fits_a_line_best_is_named(run: Path, command: Command, tmp_path: Path) -> None:
    for name, text in (("en", "the cat is here\n"), ("fi", "kissa on täällä\n")):
        elman.train(Corpus.from_text(text * 9), out=tmp_path / "runs" / name, preset="counts", validation=0.0)
    (tmp_path / "text").write_text("kissa on\nthe cat\n\nhere", encoding="utf-8")
    words = "score", tmp_path / "runs/en", tmp_path / "text", "--against"
    rows = [json.loads(row) for row in command(*words, tmp_path / "runs", "--json").out.splitlines()]
    assert [row["run"] for row in rows] == ["fi", "en", rows[2]["run"], "en"]
    other = scored(elman.load(tmp_path / "runs" / "fi"), "kissa on\n")[0]
    assert rows[0]["margin"] == pytest.approx(rows[0]["nats_per_char"] - other.nats_per_char)
    table = command(*words, tmp_path / "runs" / "fi").out.splitlines()
    assert table[0].split("\t")[:5] == ["line", "score", "run", "margin", "chars"]
    assert table[1].split("\t")[2] == "fi"
    refused = command(*words, tmp_path / "runs" / "en")
    assert_refused(refused, "--against must name a run different from '", "en'")


@pytest.mark.parametrize("by", scoring.AGGREGATIONS)
def test_top_prints_the_lines_with_the_highest_score(run: Path, command: Command, by: str) -> None:
    _, out, _ = command("score", run, run.parent / "log", "--top", 3, "--by", by)
    numbers = [int(line.split("\t")[0]) for line in out.splitlines()[1:]]
    assert set(numbers[:2]) == {2, 3}
    assert numbers[2:] == [1]  # of ten that are the same, the first
    every = scored(elman.load(run), (run.parent / "log").read_text(encoding="utf-8"))
    scores = [scoring.AGGREGATIONS[by](every[number - 1]) for number in numbers]
    assert [row.split("\t")[1] for row in out.splitlines()[1:]] == [f"{score:.4f}" for score in scores]
    assert scores == sorted(scores, reverse=True)


def test_the_command_carries_the_state(run: Path, command: Command) -> None:
    out = command("score", run, run.parent / "log", "--json", "--carry-state").out
    carried = scored(elman.load(run), (run.parent / "log").read_text(encoding="utf-8"), carry_state=True)
    assert [json.loads(row)["nats_per_char"] for row in out.splitlines()] == [line.nats_per_char for line in carried]


def test_metrics_of_a_line_without_predictions_are_null(tmp_path: Path, command: Command) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    elman.train(Corpus.from_text("abcd" * 9), out=run, preset="reference", hidden_size=3, seq_length=5, epochs=1)
    log.write_text("\n", encoding="utf-8")
    row = json.loads(command("score", run, log, "--json").out)
    assert (row.pop("line"), row.pop("chars"), row.pop("text")) == (1, 0, "")
    assert set(row.values()) == {None}
    assert command("score", run, log).out.splitlines()[1] == "1\t\t0\t\t\t\t\t\t"
    assert len(command("score", run, log, "--top", 1).out.splitlines()) == 1


def test_a_pipe_is_answered_line_by_line(run: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "elman", "score", str(run), "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as given, process.stdout as out:
        for n, text in enumerate(("all is well", "alles klar"), 1):
            given.write(f"{text}\n".encode())
            given.flush()
            row = json.loads(out.readline())  # while the pipe is open
            assert (row["line"], row["text"]) == (n, text)
    assert process.wait() == 0


# --- Independent lines: masks, thresholds, and lines of the training text ---


def log_lines(first: int, count: int) -> str:
    return "".join(
        f"12:{n // 60 % 60:02}:{n % 60:02} job {n * 7919 % 10_007} is done\n" for n in range(first, first + count)
    )


@pytest.fixture(scope="module")
def log_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("log") / "run"
    options: dict[str, Any] = {"hidden_size": 8, "batch_size": 2, "seq_length": 24, "max_updates": 150}
    text = Corpus.from_text(log_lines(0, 200))
    elman.train(text, out=run, preset="quick", lines=True, mask="all", validation=0.1, **options)
    return run


def test_masked_parts_are_not_surprising_and_columns_are_those_of_the_line(log_run: Path) -> None:
    model = elman.load(log_run)
    assert set(model.alphabet.characters).isdisjoint("0123456789")
    usual, unusual = scored(model, "23:59:59 job 123456789 is done\n23:59:59 job 12 is gone\n")
    assert usual.text == "23:59:59 job 123456789 is done"
    assert usual.chars == len("T job N is done\n")
    assert (unusual.worst_column, unusual.worst_char) == (20, "g")
    assert unusual.worst5_nats > 3 * usual.worst5_nats
    assert model.score("23:59:59 job 1 is done\n").nats == model.score("11:11:11 job 999 is done\n").nats


def test_lines_that_repeat_are_read_once(log_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, read = scoring.BlockScorer(elman.load(log_run), carry_state=False), list[int]()
    score_texts = scorer._score_texts

    def count_texts(texts: list[str]) -> Any:
        read.append(len(texts))
        return score_texts(texts)

    monkeypatch.setattr(scorer, "_score_texts", count_texts)
    block = log_lines(0, 50) + "12:00:00 panic\n"
    first = scorer.score(block, 1)
    assert [line[2:] for line in scorer.score(block, 1)] == [line[2:] for line in first]
    assert len({line.nats for line in first}) == read[0] == 2
    monkeypatch.setattr(scoring, "CACHED_CHARS", 500)  # a long line takes the place of several
    assert scorer.score(block, 1) == first
    assert scorer.score("T" * 300 + "\n", 1)[0].chars == 301
    assert scorer.score(block, 1) == first
    assert read == [2, 1, 2]


def test_a_line_of_which_all_is_masked(log_run: Path) -> None:
    (line,) = scored(elman.load(log_run), "4711\n")
    assert (line.chars, line.worst_column in (1, 5)) == (2, True)


def test_a_threshold_in_percent_is_a_quantile_of_the_scores_of_held_out_lines(log_run: Path) -> None:
    model = elman.load(log_run)
    texts = [text for text in log_lines(0, 200).splitlines() if not model.in_training_text(text)]
    assert len(texts) == 20
    lines = scored(model, "\n".join(texts))
    for by, aggregate in scoring.AGGREGATIONS.items():
        scores = [aggregate(line) for line in lines]
        for fraction in (0, 0.5, 0.999, 1):
            assert scoring.find_threshold(model, by, fraction) == pytest.approx(np.quantile(scores, fraction), rel=1e-5)


def test_quantiles_are_those_of_lines_at_equal_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = made(), random_lines(10)
    monkeypatch.setattr(scoring, "CALIBRATION_LINES", 4)
    found = scoring.compute_score_quantiles(model, model.alphabet.encode("\n".join(["", *texts, ""])))
    lines = scored(model, "".join(f"{text}\n" for text in texts[::3]))
    for aggregate, quantiles in zip(scoring.AGGREGATIONS.values(), found, strict=True):
        scores = [aggregate(line) for line in lines]
        np.testing.assert_allclose(quantiles, np.quantile(scores, scoring.LEVELS), rtol=SINGLE)


def test_a_short_line_scores_above_a_long_one_that_is_less_unusual() -> None:
    score = scoring.AGGREGATIONS[scoring.DEFAULT_AGGREGATION]
    short, long = Line(1, "x", 2, 16.0, 16.0, 1, 11.0), Line(2, "a" * 80, 81, 40.0, 30.0, 3, 9.0)
    assert (score(short), score(long)) == (16 / 2 + 16 / 2, 30 / 5 + 40 / 81)


def test_the_exit_code_and_a_column_say_whether_a_line_is_above_the_threshold(
    log_run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_run.parent / "new"
    log.write_text(log_lines(500, 20) + "12:00:00 panic: no room\n", encoding="utf-8")
    code, out, err = command("score", log_run, log, "--threshold", "100%")
    assert (code, err) == (1, "")
    rows = [dict(zip(out.splitlines()[0].split("\t"), row.split("\t"), strict=True)) for row in out.splitlines()[1:]]
    assert [row["line"] for row in rows if row["above"] == "true"] == ["21"]
    code, out, _ = command("score", log_run, log, "--threshold", "100%", "--json", "--top", 2)
    assert (code, [json.loads(row)["above"] for row in out.splitlines()]) == (1, [True, False])
    highest = json.loads(out.splitlines()[0])["score"]
    code, out, _ = command("score", log_run, log, "--threshold", highest, "--json")
    assert (code, {json.loads(row)["above"] for row in out.splitlines()}) == (0, {False})  # it is not above itself
    log.write_text("12:00:00 panic: no room\n" + log_lines(500, 20), encoding="utf-8")
    for module in ("formats", "reading"):  # that of a line in an earlier block, too
        monkeypatch.setattr(f"elman.text.{module}.CHUNK_SIZE", 64)
    assert command("score", log_run, log, "--threshold", "100%").code == 1


def test_quantiles_survive_saving_an_import_has_none(log_run: Path, tmp_path: Path) -> None:
    model = elman.load(log_run)
    model.save(tmp_path / "copy.safetensors")
    copy = elman.load(tmp_path / "copy.safetensors")
    np.testing.assert_array_equal(copy.score_quantiles, model.score_quantiles)
    assert copy.masker == model.masker
    elman.export(model, tmp_path / "model.npz")
    imported = elman.import_(tmp_path / "model.npz")
    assert imported.masker == model.masker
    assert imported.score_quantiles is None


def test_the_lines_of_the_training_text_are_reported(
    log_run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_run.parent / "mixed"
    log.write_text(log_lines(0, 30) + log_lines(500, 20), encoding="utf-8")
    known = sum(map(elman.load(log_run).in_training_text, log.read_text("utf-8").splitlines()))
    assert known > 25
    warning = f"warning: {known} of 50 lines are in the training text, so their scores are too low: score other lines"
    assert command("score", log_run, log).err.startswith(warning)
    with monkeypatch.context() as patch:  # of a pipe, the first lines
        patch.setattr("elman.cli.commands.score.CHECKED_LINES", 10)
        for module in ("formats", "reading"):
            patch.setattr(f"elman.text.{module}.CHUNK_SIZE", 64)
        assert re.match(
            r"warning: \d+ of 1[0-2] lines are in the training text, .*\n$", command("score", log_run, log).err
        )
    log.write_text(log_lines(0, 20) + log_lines(500, 30), encoding="utf-8")
    assert command("score", log_run, log).err == ""  # though they are the same once they are masked


@pytest.mark.usefixtures("small_sample")
@pytest.mark.parametrize("text", ["ab c\nd\nab\n" * 9, "ab cd ab " * 9])
def test_a_line_begins_with_no_characters_in_its_contexts(text: str) -> None:
    network = random_prior_model(text, "lstm", order=3)
    scorer = scoring.BlockScorer(network, carry_state=False)
    assert not scorer.state.history.any()
    assert scorer.state.recurrent.any()
    other = replace(network, state=state_of(network.parameters, network.state.recurrent, [1, 1, 1]))
    if "\n" not in text:  # otherwise the text that is sampled differs
        assert list(score_lines(other, ["ab c\n"])) == list(score_lines(network, ["ab c\n"]))


@pytest.mark.usefixtures("small_sample")
def test_lines_cost_what_they_cost_alone_with_a_prior() -> None:
    network = random_prior_model("ab c\nd\nab\n" * 9, "gru", order=3)
    lines = ["ab c", "", "d", "ab ab"]
    alone = [line.nats for text in lines for line in scored(network, text + "\n")]
    assert [line.nats for line in scored(network, "\n".join(lines))] == pytest.approx(alone, rel=1e-6)
