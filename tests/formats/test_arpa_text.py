"""ARPA files hold the distributions of a model, as a reader of the format and KenLM's own compute them."""

import gzip
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.errors import quote
from elman.formats import import_
from elman.formats.arpa import name_characters
from elman.formats.arpa import read as read_file
from elman.formats.arpa_text import write_arpa
from elman.ngram.counting import count_ngrams
from elman.ngram.language_model import compute_losses, read_compiled
from elman.ngram.model import MIN_PROB, Indices, NgramModel, describe_ngrams, ngram_tensors, read, restore_ngrams
from elman.ngram.table import NgramSpec
from elman.text import Alphabet, read_corpus
from support import tolerances as tolerances
from support.corrupt_files import CONSTANT, error_message, peak
from support.state import ROOT

TOLERANCE = 1e-5
"""In log10 p."""
ODD = "\t\v\f\r\0\x85\xa0\u2028\ufeff\ud800\\#<é漢"
HAN = "".join(map(chr, range(0x4E00, 0x4F00)))  # more characters than a byte has values
python_docs = read_corpus("python-docs")
TEXTS = {
    "docs": python_docs.alphabet.decode(python_docs.indices[:30_000]),
    "page": (ROOT / "docs/how_to/independent_lines.md").read_text("utf-8"),
    "odd": "".join(np.random.default_rng(1).choice(list("ab \n" * 50 + ODD + HAN), 5000)),
}
Logs = dict[tuple[str, ...], tuple[float, float]]


def count(text: str, order: int, min_count: int, of_lines: bool) -> tuple[Alphabet, Indices, NgramModel]:
    """Return the alphabet, the text as indices, and the model of its first two thirds."""
    if of_lines:
        text = "\n" + "\n".join(filter(None, text.split("\n"))) + "\n"
    alphabet = Alphabet.from_text(text)
    x = alphabet.encode(text)
    spec = NgramSpec(len(alphabet), order, alphabet.characters.index("\n") if of_lines else None)
    model = count_ngrams(x[: text.index("\n", len(text) * 2 // 3) + 1], spec, 0, min_count)
    assert model is not None
    return alphabet, x, model


def parse(data: bytes) -> Logs:
    """Return log10 of the probability and of the back-off of each string of words."""
    text, logs = data.decode(), Logs()
    for number, strings in re.findall(r"\n\\(\d+)-grams:\n((?:[^\n]+\n)+)", text):
        rows = [line.split("\t") for line in strings.removesuffix("\n").split("\n")]
        assert f"\nngram {number}={len(rows)}\n" in text
        logs |= {tuple(words.split(" ")): (float(p), float(*back_off or [0])) for p, words, *back_off in rows}
        assert {len(words.split(" ")) for _, words, *_ in rows} == {int(number)}
    assert text.endswith("\n\\end\\\n")
    return logs


def find_log_p(logs: Logs, context: tuple[str, ...], word: str) -> float:
    """Return log10 of the probability of a word, as the format defines it."""
    if (*context, word) in logs:
        return logs[*context, word][0]
    return logs.get(context, (0.0, 0.0))[1] + find_log_p(logs, context[1:], word)


def events(
    model: NgramModel, alphabet: Alphabet, x: Indices, space: str = "<sp>"
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each character but the first, as a word, with the words that precede it."""
    words, context = name_characters(alphabet, space), tuple[str, ...]()
    for before, k in pairwise(x.tolist()):
        context = ("<s>",) if before == model.reset_at else (*context, words[before])[-model.context_length :]
        yield context, "</s>" if k == model.reset_at else words[k]


def assert_same(log_p: Iterable[float], model: NgramModel, x: Indices) -> None:
    """Assert that log10 p is that of a model, whose probabilities are at least `MIN_PROB`."""
    expected = -compute_losses(model, x) / np.log(10)
    np.testing.assert_allclose(np.maximum([*log_p], np.log10(MIN_PROB)), expected, rtol=0, atol=TOLERANCE)


CASES = [(name, of_lines, min_count) for name in TEXTS for of_lines in (False, True) for min_count in (1, 2)]


@pytest.mark.parametrize(("name", "of_lines", "min_count"), CASES)
def test_a_file_gives_the_distributions_of_the_model(name: str, of_lines: bool, min_count: int) -> None:
    alphabet, x, model = count(TEXTS[name], 5, min_count, of_lines)
    logs, x = parse(b"".join(write_arpa(model, name_characters(alphabet)))), x[-3000:]
    all_events = [*events(model, alphabet, x)]
    assert_same((find_log_p(logs, *event) for event in all_events), model, x)
    words = {word for word, *others in logs if not others} - {"<s>", "<unk>"}
    assert sum(10 ** find_log_p(logs, all_events[-1][0], word) for word in words) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("name", "of_lines", "min_count"), CASES)
def test_kenlm_reads_the_distributions_of_the_model(tmp_path: Path, name: str, of_lines: bool, min_count: int) -> None:
    """Up to the order that it is compiled for by default."""
    kenlm = pytest.importorskip("kenlm")
    alphabet, x, model = count(TEXTS[name], 5, min_count, of_lines)
    (tmp_path / "lm.arpa").write_bytes(b"".join(write_arpa(model, name_characters(alphabet))))
    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    reader = kenlm.Model(str(tmp_path / "lm.arpa"), config)

    def score(context: tuple[str, ...], word: str) -> float:
        state, after, begins_line = kenlm.State(), kenlm.State(), context[0] == "<s>"
        (reader.BeginSentenceWrite if begins_line else reader.NullContextWrite)(state)
        for before in context[begins_line:]:
            reader.BaseScore(state, before, after)
            state, after = after, state
        return float(reader.BaseScore(state, word, after))

    assert_same((score(*event) for event in events(model, alphabet, x[-3000:])), model, x[-3000:])


@pytest.mark.parametrize(
    ("of_lines", "min_count", "average", "limit"),
    [(False, 1, np.max, TOLERANCE), (False, 2, np.max, TOLERANCE), (True, 2, np.mean, 0.001)],
)
def test_a_lower_order_is_that_of_a_model_counted_with_it(
    of_lines: bool, min_count: int, average: Callable[[Any], float], limit: float
) -> None:
    """The counts are small enough not to be rounded; what occurs in one line only may occur there several times."""
    alphabet, x, model = count(TEXTS["odd"][:1500], 6, min_count, of_lines)
    _, _, lower = count(TEXTS["odd"][:1500], 3, min_count, of_lines)
    logs = parse(b"".join(write_arpa(model, name_characters(alphabet), 4)))
    assert max(map(len, logs)) == 4
    log_p = [find_log_p(logs, *event) for event in events(lower, alphabet, x)]
    difference = np.maximum(log_p, np.log10(MIN_PROB)) + compute_losses(lower, x) / np.log(10)
    assert average(np.abs(difference)) < limit


SRILM = """
\\data\\
ngram 1=6
ngram 2=4
ngram 3=3

\\1-grams:
-99\t<s>\t-0.3
-0.8\t</s>
-0.5\ta\t-0.2
-0.6\tb\t0.1
-0.9\t|
-1.2\t<unk>

\\2-grams:
-0.9\t<s> a\t-0.1
-0.7\ta b\t-0.4
-2.5\tb a
-99\tb </s>

\\3-grams:
-0.2\t<s> a b
-0.4\ta b |
-0.6\ta b </s>

\\end\\
"""
"""Pruned as by SRILM: there is a string without the one that lacks its first character, and a probability below that of
the shorter context; `|` is the space."""


@pytest.mark.parametrize("of_lines", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_a_file_is_read_as_the_model_that_was_written(tmp_path: Path, name: str, of_lines: bool) -> None:
    alphabet, x, model = count(TEXTS[name], 5, 1, of_lines)
    path = tmp_path / "lm.arpa"
    path.write_bytes(b"".join(write_arpa(model, name_characters(alphabet))))
    snapshot = read_file(path, None)
    ngrams, y = snapshot.parameters.ngrams, x[-3000:]
    assert ngrams is not None
    assert snapshot.alphabet == alphabet
    losses = compute_losses(ngrams, y)
    np.testing.assert_allclose(losses, compute_losses(model, y), rtol=0, atol=TOLERANCE)
    start = np.zeros((1, ngrams.context_length), np.int32), y[:300, None]
    log_q, expected = (function(ngrams, *start)[0] for function in (read_compiled, read))
    np.testing.assert_allclose(log_q, expected, rtol=0, atol=tolerances.LOG_Q)
    restored = restore_ngrams(describe_ngrams(ngrams), ngram_tensors(ngrams), ngrams.table.spec)
    np.testing.assert_array_equal(compute_losses(restored, y), losses)
    rewritten = parse(b"".join(write_arpa(ngrams, name_characters(alphabet))))
    for string, logs in parse(path.read_bytes()).items():
        assert rewritten[string] == pytest.approx(logs, abs=TOLERANCE)


LINE_19 = "line 19 must be a log10 probability, 2 of the 1-grams, and optionally a log10 back-off"
LINE_17 = LINE_19.replace("19", "17")
SINGLE = "a model predicts single characters; if it is the space, pass space="


def test_a_pruned_file_is_read(tmp_path: Path) -> None:
    """Its distributions do not sum to 1."""
    (tmp_path / "lm.arpa").write_text(SRILM)
    with pytest.warns(
        UserWarning, match=r"^\d of 6 distributions in the file do not sum to 1, one to 0\.469: the model "
    ):
        snapshot = read_file(tmp_path / "lm.arpa", None)
    ngrams, alphabet = snapshot.parameters.ngrams, snapshot.alphabet
    assert ngrams is not None
    assert (alphabet.characters, alphabet.has_unknown) == ("\nab \N{REPLACEMENT CHARACTER}", True)
    x = alphabet.encode("\nab ab\nba\nabxab \n\nbb a\nab\n")
    words = events(ngrams, alphabet, x, "|")
    assert_same((find_log_p(parse(SRILM.encode()), *event) for event in words), ngrams, x)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ngram 3=3\n", "", "line 20 must be a log10 probability, 2 of the 1-grams, and optionally a log10 "),
        ("\\data\\\nngram 1=6\nngram 2=4\nngram 3=3\n", "", "it is not an ARPA file of strings of up to 2 to "),
        ("ngram 2=4\nngram 3=3", "ngram 2=4\nngram 4=3", "it is not an ARPA file of strings of up to 2 to "),
        ("ngram 1=6", "ngram 1=" + "9" * 5000, "Exceeds the limit"),
        ("-0.7\ta b\t-0.4\n", "", "its number of 2-grams is not 4"),
        ("b </s>", "b c", f"{LINE_19} (got '-99 b c')"),
        ("-0.7", "0.7", f"{LINE_17} (got '0.7 a b -0.4')"),
        ("-0.7", "nan", f"{LINE_17} (got 'nan a b -0.4')"),
        ("-99\tb", "x\tb", f"{LINE_19} (got 'x b </s>')"),
        ("-99\tb </s>", "-99\tb </s> b a", f"{LINE_19} (got '-99 b </s> b a')"),
        ("-99\tb </s>", "-99\t" + "b" * 70_000, f"{LINE_19} (got '-99 bbbbbbbb"),
        ("\n\\end\\\n", "", "it ends without \\end\\"),
        ("-2.5\tb a", "-2.5\ta b", "it has one of its 2-grams twice"),
        ("a b |", "b | a", "one of its 3-grams continues none of its 2-grams"),
        ("<s> a b", "<s> b a", "one of its 3-grams continues none of its 2-grams"),
        ("<unk>", "<oov>", f"its word '<oov>' is not a character: {SINGLE}'<oov>'"),
        ("<unk>", "e\u0301", f"its word 'e\u0301' (U+0065 U+0301) is not a character: {SINGLE}'e\u0301'"),
        ("<unk>", "<nl>", "an alphabet must contain each character once: '\\n' (U+000A) occurs 2 times"),
        ("-0.3\n", "300\n", "line 8 must be a log10 probability, 1 of the 1-grams, and optionally a log10 back"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in SRILM
    path = tmp_path / "lm.arpa"
    path.write_text(SRILM.replace(old, new), "utf-8")
    message = error_message(lambda: import_(path))
    assert message.startswith(f"{quote(path)} cannot be imported: {reason}")
    assert "sys." not in message  # advice for programmers


def test_a_compressed_file_in_other_words_is_the_same(tmp_path: Path) -> None:
    """KenLM takes `<UNK>` for `<unk>`; the space may have any word."""
    text = "the cat sat\non the mat\n" * 9 + "€"
    alphabet, x, model = count(text, 3, 1, of_lines=True)
    data = b"".join(write_arpa(model, name_characters(alphabet, "_")))
    for word, options in (("_", {"space": "_"}), ("<SP>", {}), ("<spc>", {"space": "<spc>"})):
        path = tmp_path / "lm.arpa.gz"
        path.write_bytes(gzip.compress(re.sub(rb"(?<=[\t ])_(?=[\t \n])", word.encode(), data)))
        ngrams = import_(path, engine="numpy", **options).parameters.ngrams
        assert ngrams is not None
        np.testing.assert_allclose(compute_losses(ngrams, x), compute_losses(model, x), rtol=0, atol=TOLERANCE)
    path.write_bytes(gzip.compress(data.replace(b"<unk>", b"<UNK>").replace(b"-7\t<", b"-3\t<")))
    assert import_(path, space="_", engine="numpy").alphabet.has_unknown
    refused = f"{quote(path)} cannot be imported: "
    assert error_message(lambda: import_(path, space="|")) == f"{refused}it has no word '|': change space"
    path.write_bytes(gzip.compress(data.decode().encode("iso8859-15")))
    reason = "its word '\xa4' is not UTF-8: convert the file, as with iconv -f latin1 -t utf-8"
    assert error_message(lambda: import_(path)) == f"{refused}{reason}"
    for damaged in (path.read_bytes()[:-9], b"x", gzip.compress(data)[:-8] + b"12345678"):
        path.write_bytes(damaged)
        assert error_message(lambda: import_(path)).startswith(f"{refused}it is a damaged gzip file (")
    header = b"\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n"
    path.write_bytes(gzip.compress(header + b"-1 a\n" * 1000))
    assert error_message(lambda: import_(path)) == f"{refused}its number of 1-grams is not 3"
    for bomb in (b"\n" * 3_000_000, header.replace(b"=3", b"=3000000") + b"-1 a\n" * 600_000):
        path.write_bytes(gzip.compress(bomb))
        assert error_message(lambda: import_(path)) == f"{refused}it expands to more than 20 times its size"


def test_reading_takes_a_small_multiple_of_the_file(tmp_path: Path) -> None:
    """Also if the file lists no suffix of its strings, so that each is added."""
    order, path = 20, tmp_path / "lm.arpa"
    strings = np.random.default_rng(1).choice([*"abcdefghij"], (1_000, order))
    listed = [sorted({" ".join(row[:length]) for row in strings}) for length in range(1, order + 1)]
    header = "".join(f"ngram {length}={len(rows)}\n" for length, rows in enumerate(listed, 1))
    levels = "".join(
        f"\\{length}-grams:\n" + "".join(f"-1\t{row}\n" for row in rows) for length, rows in enumerate(listed, 1)
    )
    path.write_text(f"\\data\\\n{header}\n{levels}\\end\\\n", "utf-8")
    assert peak(lambda: import_(path)) < 80 * path.stat().st_size + CONSTANT


def test_words_that_are_not_characters_have_no_back_off_without_lines() -> None:
    alphabet, _, model = count(TEXTS["docs"], 4, 2, of_lines=False)
    text = b"".join(write_arpa(model, name_characters(alphabet, "<sp>"))).decode()
    rows = [line.split("\t") for line in text.splitlines() if line.split("\t")[1:2] in (["<s>"], ["</s>"], ["<unk>"])]
    assert rows == [["-99", "<s>", "0"], ["-99", "</s>", "0"], ["-7", "<unk>", "0"]]
