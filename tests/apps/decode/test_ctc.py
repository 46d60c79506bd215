"""CTC decoding: its scores against sums over all paths, its beam against a plain one, and what it refuses."""

import copy
import math
import pickle
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from itertools import groupby, pairwise, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import elman
from elman.apps.decode import CtcSearch, Hypothesis, ctc
from elman.errors import ElmanError
from elman.model import Model
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.network.state import State
from elman.text.unknown import unknown_nats
from support.corrupt_files import peak
from support.training import SMALL, train

SYMBOLS = ["a", "", "b", "|", "?"]
TEXTS = ["a", "", "b", " ", "?"]
"""What the symbols stand for; the language model does not know the last one."""
LINES = "ab a\nba\nb ab\naab b\nabba\nbb a\n"
EXACT: dict[str, Any] = {"symbol_threshold": math.inf, "beam_threshold": math.inf}
ALPHA, BETA = 0.6, 0.8
WEIGHTS: dict[str, Any] = {"alpha": ALPHA, "beta": BETA}


def train_model(seed: int = 1, **options: Any) -> Model:
    options = {"max_updates": 20, "sample_every": 0, "ngram_order": 3, "dtype": "float64", "seed": seed} | options
    return train(elman.Corpus.from_text(LINES), **SMALL | options).model


@pytest.fixture(scope="module", params=["none", "text", "lines", "unknown symbol", "ensemble"])
def lm(request: pytest.FixtureRequest) -> Model | None:
    match request.param:
        case "none":
            return None
        case "text":
            return train_model(engine="numba")
        case "lines":
            return train_model(lines=True, engine="numba")
        case "unknown symbol":
            return train_model(lines=True, min_count=1)
    return elman.ensemble([train_model(seed, lines=True, validation=0) for seed in (1, 2)])


def draw_frames(T: int, seed: int, sharpness: float = 1.0) -> Array:
    logits = sharpness * np.random.default_rng(seed).normal(size=(T, len(SYMBOLS)))
    return log_softmax(logits)


@cache
def read(lm: Model, text: str) -> tuple[State, Array, float]:
    """Return the state after a text, log p of what follows, and log p of the text without its end."""
    if not text:
        return *lm.step(lm.start(), "\n"), 0.0
    (state, log_p, total), characters = read(lm, text[:-1]), lm.alphabet.characters
    if text[-1] not in characters and not lm.alphabet.has_unknown:
        return state, log_p, total - unknown_nats(len(characters))
    k = characters.index(text[-1]) if text[-1] in characters else len(characters) - 1
    return *lm.step(state, np.array([k])), total + float(log_p[0, k])


def log_p_lm(lm: Model | None, text: str, ended: bool) -> float:
    if lm is None:
        return 0.0
    _, log_p, total = read(lm, text)
    return total + float(log_p[0, lm.alphabet.characters.index("\n")]) * (ended and lm.is_of_lines)


@pytest.mark.parametrize("sharpness", [1.0, 100.0])
def test_scores_are_sums_over_all_paths(lm: Model | None, sharpness: float) -> None:
    """Also if a text is hundreds of nats less likely than the best one."""
    frames, acoustic = draw_frames(5, 0, sharpness), defaultdict[str, float](lambda: -math.inf)
    for path in product(range(len(SYMBOLS)), repeat=len(frames)):
        text = "".join(TEXTS[k] for k, _ in groupby(path))
        acoustic[text] = np.logaddexp(acoustic[text], sum(frame[k] for frame, k in zip(frames, path, strict=True)))
    found = elman.decode_ctc(frames, SYMBOLS, lm, **WEIGHTS, **EXACT, width=10_000, nbest=10_000)
    assert {each.text for each in found} == {*acoustic}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    for each in found:
        expected = acoustic[each.text], log_p_lm(lm, each.text, ended=True)
        assert (each.acoustic, each.lm) == pytest.approx(expected, rel=1e-9)
        assert each.score == pytest.approx(each.acoustic + ALPHA * each.lm + BETA * len(each.text), rel=1e-9)
    if lm is not None:
        again = elman.rescore([(each.text, each.acoustic) for each in reversed(found)], lm, **WEIGHTS)
        for one, other in zip(again, found, strict=True):
            assert (one.score, one.acoustic, one.lm) == pytest.approx((other.score, other.acoustic, other.lm), rel=1e-9)
        assert elman.rescore([], lm) == []
        with pytest.raises(ElmanError, match="NaN"):
            elman.rescore([("a", math.nan)], lm)


def log_p(frames: Array, text: str) -> float:
    """Return log p(text), the sum over all paths, by the prefixes of the text."""
    b, s = np.zeros(len(text) + 1), np.zeros(len(text) + 1)
    b[0] = 1
    for f in np.exp(frames):
        emitted = np.array([0, *(f[TEXTS.index(character)] for character in text)])
        is_repeated = np.array([False, *(one == other for one, other in pairwise(text))], np.bool_)
        before = b[:-1] + np.where(is_repeated[: len(text)], 0, s[:-1])
        b, s = (b + s) * f[1], emitted * (s + np.append(0, before))
    return math.log(b[-1] + s[-1])


def search_plainly(
    frames: Array, lm: Model | None, width: int, symbol_threshold: float, beam_threshold: float
) -> list[tuple[str, float]]:
    """Return the texts of a beam that computes everything, and adds to dictionaries; and their exact scores."""

    def score(item: tuple[str, list[float]]) -> float:
        return (
            float(np.logaddexp(item[1][0], item[1][1]))
            + ALPHA * log_p_lm(lm, item[0], ended=False)
            + BETA * len(item[0])
        )

    def exact_score(text: str) -> float:
        return log_p(frames, text) + ALPHA * log_p_lm(lm, text, ended=True) + BETA * len(text)

    beam = {"": [0.0, -math.inf]}
    for frame in frames:
        new = defaultdict[str, list[float]](lambda: [-math.inf, -math.inf])
        for text, (blank, symbol) in beam.items():
            total = float(np.logaddexp(blank, symbol))
            new[text][0] = np.logaddexp(new[text][0], total + frame[1])
            if text:
                new[text][1] = np.logaddexp(new[text][1], symbol + frame[TEXTS.index(text[-1])])
            for k in np.flatnonzero(frame > frame.max() - symbol_threshold):
                if TEXTS[k]:
                    base = blank if text.endswith(TEXTS[k]) else total
                    longer = new[text + TEXTS[k]]
                    longer[1] = np.logaddexp(longer[1], base + frame[k])
        best = sorted(new.items(), key=score, reverse=True)[:width]
        beam = {item[0]: item[1] for item in best if score(item) >= score(best[0]) - beam_threshold}
    return sorted(((text, exact_score(text)) for text in beam), key=lambda item: -item[1])


@pytest.mark.parametrize(("width", "symbol_threshold", "beam_threshold"), [(6, 2.0, 3.0), (12, math.inf, math.inf)])
def test_the_beam_is_that_of_a_plain_search(
    lm: Model | None, width: int, symbol_threshold: float, beam_threshold: float
) -> None:
    options: dict[str, Any] = {"symbol_threshold": symbol_threshold, "beam_threshold": beam_threshold}
    for seed in range(4):
        frames = draw_frames(12, seed, 2.0)
        expected = search_plainly(frames, lm, width, **options)
        found = elman.decode_ctc(frames, SYMBOLS, lm, width=width, nbest=width, **options, **WEIGHTS)
        assert [each.text for each in found] == [text for text, _ in expected]
        np.testing.assert_allclose([each.score for each in found], [score for _, score in expected], rtol=1e-9)


@pytest.mark.parametrize("block", [1, 4, 1024])
@pytest.mark.parametrize("sharpness", [1.0, 100.0])
def test_frames_are_those_of_the_most_likely_path(
    sharpness: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctc, "BLOCK", block)
    frames, best = draw_frames(6, 3, sharpness), dict[str, tuple[float, list[tuple[int, int]]]]()
    for path in product(range(len(SYMBOLS)), repeat=len(frames)):
        groups = [[*group] for _, group in groupby(enumerate(path), key=lambda item: item[1])]
        spans = [(group[0][0], group[-1][0]) for group in groups if group[0][1] != 1]
        text = "".join(TEXTS[group[0][1]] for group in groups)
        best[text] = max(best.get(text, (-math.inf, [])), (sum(frames[range(6), path]), spans))
    for each in elman.decode_ctc(frames, SYMBOLS, **EXACT, width=10_000, nbest=10_000):
        assert [*each.frames] == best[each.text][1]
        assert "".join(TEXTS[k] for k in each.symbols) == each.text


def test_memory_does_not_grow_with_the_square_of_the_frames() -> None:
    def decode(T: int) -> None:
        frames = np.full((T, 2), -30.0)
        frames[np.arange(T), np.arange(T) % 2] = 0
        (best,) = elman.decode_ctc(frames, ["a", ""], from_logits=True)
        assert best.frames == tuple((t, t) for t in range(0, T, 2))

    assert peak(lambda: decode(12_000)) < 5 * peak(lambda: decode(3_000))


def test_a_prefix_that_cannot_be_extended_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls, step = train_model(lines=True), [], Model.step

    def count(self: Model, state: State, x: str | NDArray[np.integer]) -> tuple[State, Array]:
        calls.append(len(x))
        return step(self, state, x)

    monkeypatch.setattr(Model, "step", count)
    frames = np.log(np.full((40, len(SYMBOLS)), 1e-6))
    frames[:, 1] = 0
    frames[[10, 30]] = np.log([0.5, 0.2, 0.299, 1e-3, 1e-6])
    assert elman.decode_ctc(frames, SYMBOLS, model, nbest=9)
    assert len(calls) == 3, "at the start, at the second symbol, and at the end of the line"


def test_equal_scores_leave_room_for_better_ones() -> None:
    """Many prefixes have the least score that is kept, and come before the best in the order of the symbols."""
    frames = np.full((6, len(SYMBOLS)), 0.01)
    frames[range(6), [4, 3, 4, 2, 4, 3]] = 0.96
    best = elman.decode_ctc(np.log(frames), SYMBOLS, width=4)[0]
    assert best.text == "? ?b? "


def test_thousands_of_unlikely_symbols_cost_little_time(lm: Model | None) -> None:
    frames, unlikely = draw_frames(12, 1, 2.0), 20_000
    expected = elman.decode_ctc(frames, SYMBOLS, lm, **WEIGHTS)
    wide = np.pad(frames, ((0, 0), (unlikely, 0)), constant_values=-30)
    start = time.process_time()
    with pytest.warns(UserWarning, match="does not know") if lm else nullcontext():
        found = elman.decode_ctc(wide, [*map(chr, range(0x4E00, 0x4E00 + unlikely)), *SYMBOLS], lm, **WEIGHTS)
    assert time.process_time() - start < 1
    assert [k - unlikely for k in found[0].symbols] == [*expected[0].symbols]
    assert found[0].score == pytest.approx(expected[0].score, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symbols": ["a", "b", "c", "|", "?"]}, "do not contain the blank '': append '' if log_probs has 6 columns"),
        ({"symbols": ["a", "", "a", "|", "?"]}, "must be distinct"),
        ({"log_probs": np.zeros((3, 4))}, "5 columns"),
        ({"log_probs": np.ones((3, 5))}, "frame 0 sum to 13.59"),
        ({"log_probs": [[math.log(0.2)] * 5, [0.2] * 5]}, "frame 1 sum to 6.107.*from_logits"),
        ({"log_probs": np.full((3, 5), np.nan)}, "got nan in frame 0"),
        ({"log_probs": np.pad(draw_frames(1, 0), ((0, 1), (0, 0)), constant_values=-np.inf)}, "got -inf in frame 1"),
        ({"alpha": -1.0}, "from 0 to 1,000,000"),
        ({"beta": math.inf}, "from -1,000,000 to 1,000,000 .got inf"),
        ({"width": 0}, "from 1 to 100,000"),
        ({"symbol_threshold": math.nan}, "greater than 0"),
        ({"beam_threshold": -1.0}, "greater than 0"),
        ({"symbols": {"a": 0, "": 1, "b": 2, "|": 3, "?": 5}}, "columns, 0 to 4, each once"),
        ({"symbols": {"", "a", "b", "c", " "}}, "^symbols must be in an order .got a set.: pass a list$"),
        ({"hotwords": ["ac"]}, "consist of the symbols .got 'c'"),
        ({"hotwords": ["a"], "hotword_weight": math.inf}, "from -1,000,000 to"),
        ({"nbest": 0}, "at least 1"),
        ({"lm": SimpleNamespace(alphabet=3, start=3)}, "must have step .got SimpleNamespace"),
        ({"lm": SimpleNamespace(alphabet=3, start=3, step=3)}, "must have characters"),
    ],
)
def test_what_cannot_be_decoded(options: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"log_probs": draw_frames(3, 0), "symbols": SYMBOLS} | options
    with pytest.raises(ElmanError, match=words):
        elman.decode_ctc(**arguments)


def test_names_of_the_blank_and_the_space() -> None:
    frames = draw_frames(6, 1)
    expected = elman.decode_ctc(frames, SYMBOLS)
    assert elman.decode_ctc(frames, ["a", "blank", "b", "_", "?"], blank="blank", space="_") == expected
    for name in ("<pad>", "[PAD]", "_"):
        assert elman.decode_ctc(frames, ["a", name, "b", "|", "?"]) == expected
    assert elman.decode_ctc(frames, {"b": 2, "|": 3, "?": 4, "a": 0, "": 1}) == expected
    assert elman.decode_ctc(frames, ["a", "", "b", "|", " "])[0].text.count("|") == expected[0].text.count(" ")
    assert elman.decode_ctc(frames[:0], SYMBOLS) == [Hypothesis("", 0.0, 0.0, 0.0)]


def test_logits_are_normalized() -> None:
    frames = draw_frames(6, 1)
    shifted = elman.decode_ctc(frames + np.arange(-3, 3)[:, None], SYMBOLS, from_logits=True)[0]
    assert shifted.acoustic == pytest.approx(elman.decode_ctc(frames, SYMBOLS)[0].acoustic, rel=1e-9)


def test_the_bonus_is_1_5_with_a_model_and_0_without(lm: Model | None) -> None:
    best = elman.decode_ctc(draw_frames(9, 1), SYMBOLS, lm)[0]
    assert best.score == pytest.approx(best.acoustic + 0.5 * best.lm + (0 if lm is None else 1.5) * len(best.symbols))


def test_pieces_are_as_the_whole(lm: Model | None) -> None:
    frames = draw_frames(40, 2, 2.0)
    search = elman.CtcSearch(SYMBOLS, lm, **WEIGHTS)
    for piece in np.split(frames, [1, 7, 7, 30]):
        search.advance(piece)
        assert search.best() == search.finish(end=False, nbest=3)[0]
    whole = elman.decode_ctc(frames, SYMBOLS, lm, nbest=5, **WEIGHTS)
    assert search.finish(nbest=5) == whole
    assert whole[0].frames[-1][1] < 40


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, lambda search: pickle.loads(pickle.dumps(search))])
def test_a_copy_of_a_search_continues_alone(lm: Model | None, make_copy: Callable[[CtcSearch], CtcSearch]) -> None:
    frames = draw_frames(40, 2, 2.0)
    whole = elman.decode_ctc(frames, SYMBOLS, lm, nbest=5, **WEIGHTS)
    for cut in (0, 1, 17, 40):
        search = elman.CtcSearch(SYMBOLS, lm, **WEIGHTS)
        search.advance(frames[:cut])
        copied = make_copy(search)
        for one in (copied, search):
            one.advance(frames[cut:])
            assert one.finish(nbest=5) == whole


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_lines_of_a_batch_are_as_each_alone(lm: Model | None, batch_size: int) -> None:
    lines = [draw_frames(T, T, 2.0) for T in (7, 20, 0, 13, 20, 1, 9, 8)]
    options: dict[str, Any] = {"width": 9, "nbest": 3, "hotwords": ["ab"], **WEIGHTS}
    found = elman.decode_batch(lines, SYMBOLS, lm, batch_size=batch_size, **options)
    for line, hypotheses in zip(lines, found, strict=True):
        assert hypotheses == elman.decode_ctc(line, SYMBOLS, lm, **options)
        if lm is not None:  # the states are of their own
            before, state = hypotheses[0].text, hypotheses[0].state
            after = elman.decode_ctc(draw_frames(5, 1), SYMBOLS, lm, state=state, **WEIGHTS)[0]
            expected = log_p_lm(lm, before + after.text, ended=True) - log_p_lm(lm, before, ended=False)
            assert after.lm == pytest.approx(expected)


def test_a_batch_reads_the_prefixes_of_all_lines_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, step, calls = train_model(lines=True), Model.step, list[int]()

    def count(self: Model, state: State, x: str | NDArray[np.integer]) -> tuple[State, Array]:
        calls.append(len(x))
        return step(self, state, x)

    monkeypatch.setattr(Model, "step", count)
    frames = draw_frames(12, 1, 2.0)
    elman.decode_ctc(frames, SYMBOLS, model)
    alone, ends = len(calls), 4
    elman.decode_batch([frames] * ends, SYMBOLS, model)
    assert len(calls) == 2 * alone + ends - 1, "the ends of lines are read one by one"


def test_a_state_continues_a_text(lm: Model | None) -> None:
    first = elman.decode_ctc(draw_frames(8, 3), SYMBOLS, lm, end=False, **WEIGHTS)[0]
    second = elman.decode_ctc(draw_frames(8, 4), SYMBOLS, lm, state=first.state, **WEIGHTS)[0]
    assert first.lm == pytest.approx(log_p_lm(lm, first.text, ended=False), rel=1e-6)
    assert first.lm + second.lm == pytest.approx(log_p_lm(lm, first.text + second.text, ended=True), rel=1e-6)
    assert (first.state is None) == (lm is None)
    if lm is not None:
        with pytest.raises(ElmanError, match=r"^state requires a language model"):
            elman.decode_ctc(draw_frames(8, 4), SYMBOLS, state=first.state)


@pytest.mark.parametrize("end", [False, True])
def test_hotwords_add_to_the_score(lm: Model | None, end: bool) -> None:
    """A word of them adds 2, and a part of it its share, at the end of the frames only if the text goes on."""

    def bonus(text: str) -> float:
        *words, last = text.replace("?", " ").split(" ")
        parts = [max((len(last) / len(word) for word in ("ab", "bab") if word.startswith(last)), default=0.0)]
        complete = sum(word in ("ab", "bab") for word in words)
        return 2.0 * (complete + (float(last in ("ab", "bab")) if end else parts[0] if last else 0.0))

    options: dict[str, Any] = {"hotwords": ["ab bab"], "hotword_weight": 2.0, **EXACT, **WEIGHTS}
    found = elman.decode_ctc(draw_frames(6, 5), SYMBOLS, lm, width=10_000, nbest=10_000, end=end, **options)
    for each in found:
        without = each.acoustic + ALPHA * each.lm + BETA * len(each.text)
        assert each.score - without == pytest.approx(bonus(each.text), abs=1e-9), each.text


@pytest.mark.parametrize(
    ("text", "count"),
    [("a-b", 2), ("a-c", 1), ("a-d", 1), ("a", 1), ("a-", 1), ("x-b", 1), ("x-c", 0), ("a-c-a", 2), ("a-cd", 1),
     ("a-a-c", 2), ("aa-c", 0), ("a-c-d-b", 2), ("a-c-d-e", 1), ("a-c-d", 1), ("x-a-c", 1), ("", 0)],
)  # fmt: skip
def test_hotwords_that_begin_like_others(text: str, count: int) -> None:
    symbols = ["", *"abcdex-"]
    path = [k for character in text for k in (symbols.index(character), 0)] or [0]
    frames = np.full((len(path), len(symbols)), -30.0)
    frames[np.arange(len(path)), path] = 0.0
    best = elman.decode_ctc(frames, symbols, hotwords=["a", "a-c", "b", "a-c-d-e"], hotword_weight=1.0)[0]
    assert best.text == text
    assert best.score - best.acoustic == pytest.approx(count)


class Letters:
    """A language model of another package: a letter is never followed by itself."""

    alphabet = SimpleNamespace(characters="ab ", start_char="a")

    def start(self) -> "LetterStates":
        return LetterStates([-1])

    def step(self, state: "LetterStates", characters: NDArray[np.int64]) -> tuple["LetterStates", Array]:
        log_p = np.where(np.arange(3) == characters[:, None], -20.0, math.log(0.5))
        return LetterStates(characters.tolist()), log_p


class LetterStates(list[int]):
    def select(self, rows: Any) -> "LetterStates":
        return LetterStates(self[row] for row in rows)

    def set_rows(self, rows: Any, other: "LetterStates") -> None:
        for row, letter in zip(rows, other, strict=True):
            self[row] = letter


def test_any_object_of_this_form_is_a_model() -> None:
    frames = draw_frames(12, 6, 2.0)
    best = elman.decode_ctc(frames, SYMBOLS, Letters(), alpha=1.0, beta=1.0)[0]
    assert all(repeated not in "a" + best.text for repeated in ("aa", "bb"))
    assert elman.rescore([best], Letters(), alpha=1.0, beta=1.0)[0].lm == pytest.approx(best.lm)


@pytest.mark.parametrize(
    ("symbols", "words"), [("AB !", "letter case"), (["ab", "bb", "", "aa"], "of several"), ("xyz ", "their columns")]
)
def test_symbols_that_the_model_does_not_know_are_a_warning(symbols: Any, words: str) -> None:
    names = [*symbols[:2], "", *symbols[3:], "x"] if isinstance(symbols, list) else [*symbols[:3], "", symbols[3]]
    with pytest.warns(UserWarning, match=f"does not know . of the . symbols.*{words}") as caught:
        elman.decode_ctc(draw_frames(4, 1), names, Letters())
    assert caught[0].filename == __file__
