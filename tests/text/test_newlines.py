"""Line ends: a file is read as `open` reads it, by every command, unless they are kept or the model knows them."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from elman.runs.texts import describe_text
from elman.text import Alphabet, Corpus, JoinedText, read_corpus
from elman.text.masks import Masker
from support.cli import Command
from support.texts import PLAIN, write
from support.training import EXACT, Listens, train

TEXT = PLAIN * 6
CRLF = TEXT.replace("\n", "\r\n")
TINY: dict[str, Any] = {"hidden_size": 3, "seq_length": 5, "engine": "numpy", "max_updates": 2}
KNOWS_NONE = "line ends \\r\\n read as \\n: the model does not know \\r\n"


class Arriving(io.BytesIO):
    """Bytes that arrive a few at a time, as from a pipe."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(data)
        self.sizes = [*sizes, len(data)]

    def read1(self, size: int | None = -1) -> bytes:
        return self.read(self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0])


def write_both(folder: str = ".") -> None:
    """Write a text with either line end to the files ``lf`` and ``crlf``."""
    write(f"{folder}/lf", TEXT.encode())
    write(f"{folder}/crlf", CRLF.encode())


@settings(max_examples=300)
@given(
    st.text(st.sampled_from("ab\r\né漢")), st.lists(st.integers(1, 5)), st.sampled_from(["utf-8", "utf-16", "gb18030"])
)
def test_any_chunks_are_read_as_open_reads_them(text: str, sizes: list[int], encoding: str) -> None:
    data = text.encode(encoding)
    chunks = JoinedText(Arriving(data, sizes), encoding=encoding)
    file = io.TextIOWrapper(io.BytesIO(data), encoding, newline=None)
    assert "".join(chunks) == file.read()
    seen = file.newlines if isinstance(file.newlines, tuple) else (file.newlines,)
    assert chunks.newlines_translated == tuple(sorted({"\r", "\r\n"}.intersection(seen)))
    with_returns = Alphabet("a\r")
    kept = JoinedText(Arriving(data, sizes), encoding=encoding, alphabet=with_returns)
    assert ("".join(kept), kept.newlines_translated) == (text, ())


def test_a_carriage_return_waits_for_what_follows() -> None:
    for sizes in ([4], [5], [3, 1, 1]):
        assert [*filter(None, JoinedText(Arriving(b"one\r\ntwo\r", [*sizes])))][-1] == "\n"
        assert "".join(JoinedText(Arriving(b"one\r\ntwo\r", [*sizes]))) == "one\ntwo\n"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoding": "utf-16"},
        {"lines": True},
        {"lines": True, "masker": Masker("all")},
        {"max_chars": 200},
        {"min_count": 2},
    ],
    ids=str,
)
def test_files_of_any_kind_have_line_feeds(options: dict[str, Any]) -> None:
    contents = {name: text.encode(options.get("encoding", "utf-8")) for name, text in (("lf", TEXT), ("crlf", CRLF))}
    for name, data in contents.items():
        for place, written in ((f"{name}/a", data), (f"{name}/b", data), (f"{name}.gz", gzip.compress(data))):
            write(place, written)
    for source in ("{}/a", "{}", "{}.gz", "{}/*"):
        lf, crlf = (read_corpus(source.format(name), **options) for name in contents)
        assert (crlf.text, crlf.alphabet, crlf.sampled) == (lf.text, lf.alphabet, lf.sampled)
        assert (lf.newlines_translated, crlf.newlines_translated) == ((), ("\r\n",))
        assert crlf.sha256 == read_corpus(source.format("crlf"), keep_crlf=True, **options).sha256 != lf.sha256


def test_what_is_no_file_stays_as_it_is() -> None:
    assert Corpus.from_text(CRLF).text == CRLF
    assert read_corpus(Corpus.from_text(CRLF)).text == CRLF
    assert read_corpus(io.StringIO(CRLF, newline="")).text == CRLF
    with write("crlf", CRLF.encode()).open(newline="") as file:
        assert read_corpus(file).text == CRLF
    with Path("crlf").open(encoding="utf-8") as file:
        assert read_corpus(file).text == TEXT


def test_the_alphabet_of_a_model_decides() -> None:
    write_both()
    for characters in (Alphabet.from_text(TEXT), Alphabet.from_text(CRLF)):
        knows = "\r" in characters.characters
        assert read_corpus("crlf", alphabet=characters).text == (CRLF if knows else TEXT)
        assert "".join(JoinedText("crlf", alphabet=characters)) == (CRLF if knows else TEXT)
    assert read_corpus("crlf", alphabet=Alphabet.from_text(TEXT), keep_crlf=True, extend=True).text == CRLF


def test_a_training_says_which_line_ends_it_reads_as_line_feeds(command: Command) -> None:
    write_both()
    listens = Listens()
    elman.train("crlf", callback=listens, out="run", **EXACT | {"max_updates": 1})
    size = f"training on crlf: {len(TEXT)} characters, {len(set(TEXT))} distinct"
    assert listens.notices == [rf"{size}; line ends \r\n read as \n (keep_crlf=True keeps them)"]
    assert "line ends" not in describe_text(read_corpus("lf")) + describe_text(read_corpus("crlf", keep_crlf=True))
    mixed = describe_text(read_corpus(write("mixed", b"one\rtwo\r\nthree\n")))
    assert mixed.endswith(r"; line ends \r and \r\n read as \n (keep_crlf=True keeps them)")
    options = "--preset reference --hidden-size 3 --engine numpy --seq-length 5 --max-updates 2 --schedule cosine"
    assert (
        r"line ends \r\n read as \n (--keep-crlf keeps them)"
        in command("train", "crlf", "-o", "a", *options.split()).err
    )
    kept = command("train", "crlf", "-o", "b", *options.split(), "--keep-crlf")
    assert "line ends" not in kept.err
    assert "train crlf --out b-longer --like b --max-updates 4 --keep-crlf\n" in kept.out
    assert elman.open_run("b").config.keep_crlf
    assert "\r" in elman.load("b").alphabet.characters
    assert {row["run"]: row["reading"] for row in elman.list_runs(".")} == {"a": "", "b": "keep_crlf", "run": ""}


@pytest.mark.parametrize("options", [{}, {"lines": True}, {"min_count": 2}], ids=str)
def test_a_validation_text_is_read_as_the_training_text(options: dict[str, Any]) -> None:
    write_both()
    validation = train("lf", validation="crlf", **TINY | options).data.validation
    assert validation is not None
    assert validation.text == train("lf", validation="lf", **TINY | options).data.validation.text  # type: ignore[union-attr]
    kept = train("crlf", validation="crlf", keep_crlf=True, **TINY).data.validation
    assert kept is not None
    assert kept.text == CRLF
    known = train(Corpus.from_text(CRLF), validation="crlf", **TINY).data.validation
    assert known is not None
    assert known.text == CRLF


def test_a_gradient_check_reads_the_same_text() -> None:
    write_both()
    sizes: dict[str, Any] = {"hidden_size": 3, "seq_length": 40, "engine": "numpy"}
    sources: list[Any] = ["lf", "crlf", Corpus.from_text(CRLF), "crlf"]
    errors = [elman.gradcheck(source, **sizes, keep_crlf=n == 3)[0].relative_error for n, source in enumerate(sources)]
    assert errors[0] == errors[1] != errors[2] == errors[3]


def test_every_command_reads_a_text_as_its_model(command: Command) -> None:
    write_both()
    for name in ("lf", "crlf"):
        train(name, keep_crlf=True, out=Path(f"of-{name}"), **TINY)
    for use in (["eval", "--json"], ["eval", "--json", "--adapt", "weights"], ["score"], ["score", "--json"]):
        lf, crlf = (command(use[0], "of-lf", name, *use[1:]) for name in ("lf", "crlf"))
        assert (lf.out, lf.err, crlf.err) == (crlf.out, "", KNOWS_NONE)
        assert command(use[0], "of-crlf", "crlf", *use[1:]).err == ""
    assert json.loads(command("eval", "of-crlf", "crlf", "--json").out)["chars"] == len(CRLF) - 1
    first = json.loads(command("score", "of-crlf", "crlf", "--json").out.splitlines()[0])
    assert first["text"] == CRLF.partition("\n")[0]


def test_a_prompt_and_a_text_to_compare_are_read_as_every_model_knows_them(command: Command) -> None:
    write_both()
    for name in ("lf", "crlf"):
        train(name, keep_crlf=True, out=Path(f"of-{name}"), **TINY)
    write("prompt", b"night;\r\n")
    for runs, prompt in ((["of-lf"], "night;\n"), (["of-crlf"], "night;\r\n"), (["of-crlf", "of-lf"], "night;\n")):
        sampled = command("sample", *runs, "--prompt-file", "prompt", "--length", 5, "--seed", 1, "--json")
        assert {json.loads(line)["prompt"] for line in sampled.out.splitlines()} == {prompt}
        assert sampled.err == ("" if runs == ["of-crlf"] else KNOWS_NONE)
    copied = [command("sample", "of-lf", "--seed", 1, "--copied-from", name) for name in ("lf", "crlf")]
    assert copied[0].out == copied[1].out
    assert KNOWS_NONE + copied[0].err == copied[1].err
