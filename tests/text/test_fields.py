"""One field of JSON Lines, CSV and TSV: its values and nothing else, whatever the format, in chunks of any size."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import elman
from elman.text import Corpus, JoinedText, read_corpus
from elman.text.formats import extract_field, find_record_format
from support.cli import Command, assert_refused
from support.texts import PLAIN, refused, write
from support.training import train

VALUES = ["It was\na dark night;", 'the "rain", fell\r\nin\ttorrents.', "", "\U0001f602 \\u00e5", '5" disk']


def write_json_lines(values: list[str]) -> str:
    return "\n".join(json.dumps({"ts": n, "text": value}) for n, value in enumerate(values))


def write_table(values: list[str], delimiter: str = ",") -> str:
    file = io.StringIO()
    rows = csv.writer(file, delimiter=delimiter)
    rows.writerows([("ts", "text"), *enumerate(values)])
    return file.getvalue()


WRITERS: dict[str, Callable[[list[str]], str]] = {
    "x.jsonl": write_json_lines,
    "x.NDJSON": write_json_lines,
    "x.csv": write_table,
    "x.tsv": lambda values: write_table(values, "\t"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_text_is_the_values_of_the_field(name: str) -> None:
    data = WRITERS[name](VALUES).encode()
    write(name, data)
    write(f"{name}.gz", gzip.compress(data))
    expected = "".join(f"{value}\n" for value in VALUES if value)
    assert read_corpus(name, field="text", keep_crlf=True).text == expected
    assert read_corpus(name, field="text").text == expected.replace("\r\n", "\n")
    assert read_corpus(f"{name}.gz", field="text").newlines_translated == ("\r\n",)
    assert read_corpus(f"{name}.gz", field="text").text == expected.replace("\r\n", "\n")
    write(f"mac-{name}", WRITERS[name](["a", "b", "c"]).replace("\r", "").replace("\n", "\r").encode())
    assert read_corpus(f"mac-{name}", field="text").text == "a\nb\nc\n"
    corpus = read_corpus([name, name], field="text", lines=True)
    lines = 'It was a dark night;\nthe "rain", fell in\ttorrents.\n\U0001f602 \\u00e5\n5" disk\n'
    assert corpus.text == lines * 2
    assert read_corpus(name, field="text").sha256 == read_corpus(name).sha256


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))), st.integers(1, 50), st.data()
)
def test_values_are_those_of_any_chunks(values: list[str], size: int, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    text = WRITERS[name]([*values, "end"])
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    expected = "".join(value if value.endswith("\n") else f"{value}\n" for value in [*values, "end"] if value)
    assert "".join(extract_field(chunks, "text", name, name)) == expected


def test_the_format_is_that_of_the_last_suffix() -> None:
    for path, name in (("a.csv.txt", ""), ("x.jsonl.d/a.txt", ""), ("csv", ""), ("a.b.CSV.gz", "CSV"), ("-", "")):
        assert find_record_format(path) == name
    blank = ["\n \n", '{"a": "x"}\n']
    assert "".join(extract_field(blank, "a", "-", "standard input")) == "x\n"


def test_numbers_are_text_and_half_a_surrogate_pair_is_replaced() -> None:
    write("x.jsonl", b'{"a": 1.5}\n\n{"a": true}\n{"a": null}\n{"b": 1}\n{"a": "\\ud83d!"}\n{"a": "\\ud83d\\ude02"}')
    assert read_corpus("x.jsonl", field="a").text == "1.5\ntrue\n\ufffd!\n\U0001f602\n"


@pytest.mark.parametrize("write_records", [write_json_lines, write_table])
def test_a_long_record_takes_linear_time(write_records: Callable[[list[str]], str]) -> None:
    text = write_records(["a" * 10_000_000])
    began = process_time()
    chunks = (text[n : n + 500] for n in range(0, len(text), 500))
    assert len("".join(extract_field(chunks, "text", "", ""))) == 10_000_001
    assert process_time() - began < 5


@pytest.mark.parametrize("write_records", [write_json_lines, write_table])
def test_records_of_a_pipe_are_given_as_they_arrive(write_records: Callable[[list[str]], str]) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as pipe:
        chunks = JoinedText(pipe, field="text")
        os.write(writer, write_records(["one"]).encode().removesuffix(b"\n") + b"\n")
        assert next(chunks) == "one\n"
        os.close(writer)
        assert "".join(chunks) == ""


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("x.jsonl", b'{"a": 1, "b": 2}', "no record of 'x.jsonl' has the field 'text': its fields are a, b"),
        ("x.csv", b"a,b\n1,2\n", "no record of 'x.csv' has the field 'text': its fields are a, b"),
        ("x.csv", b"", "no record of 'x.csv' has the field 'text': it has no record"),
        ("x.jsonl", b'{"text": "a"}\n{"text"', """line 2 of 'x.jsonl' is not a JSON object (got {"text")"""),
        ("x.jsonl", b"[" * 100_000, f"line 1 of 'x.jsonl' is not a JSON object (got {'[' * 50}…{'[' * 49})"),
        ("x.jsonl", b"[1]", "line 1 of 'x.jsonl' is not a JSON object (got [1])"),
        ("x.jsonl", b'{"text": [1]}', "the field 'text' of 'x.jsonl' must be text (got a list: [1])"),
        ("x.tsv", b'text\n"a\tb\nc\n', "line 3 of 'x.tsv' is not CSV (unexpected end of data)"),
        ("x.csv", b"a\rb,text\n", "line 1 of 'x.csv' is not CSV (new-line character seen in unquoted field)"),
        ("novel.txt", PLAIN.encode(), "no record of 'novel.txt' has the field 'text': its fields are It was a dark"),
    ],
)
def test_what_is_no_record_is_refused(name: str, data: bytes, expected: str) -> None:
    write(name, data)
    assert refused(name, field="text").startswith(expected)


def test_commands_read_the_field(command: Command) -> None:
    Path("x.jsonl").write_text(write_json_lines([line for line in PLAIN.split() for _ in range(9)]), encoding="utf-8")
    options = "--preset reference --hidden-size 3 --engine numpy --seq-length 5 --schedule cosine --max-updates 2"
    trained = command("train", "x.jsonl", "--field", "text", "-o", "run", "--lines", *options.split())
    assert "--like run --max-updates 4 --field text" in trained.out
    assert set(elman.load("run").alphabet.characters) == {*PLAIN}.difference(" ")
    resumed = command("train", "-o", "run", "--resume", "--max-updates", 3, "--json")
    assert json.loads(resumed.out)["updates"] == 3
    words = PLAIN.split()
    scored = command("score", "run", "x.jsonl", "--field", "text", "--json").out.splitlines()
    assert [json.loads(line)["text"] for line in scored[::9]] == words
    chars = json.loads(command("eval", "run", "x.jsonl", "--field", "text", "--json").out)["chars"]
    assert chars == 9 * sum(len(word) + 1 for word in words)
    assert_refused(command("train", "-o", "run", "--resume", "--field", "ts"), "cannot change --field on resume")


def test_a_file_that_is_read_with_all_its_fields_is_reported() -> None:
    Path("x.jsonl").write_text(write_json_lines(PLAIN.split() * 20), encoding="utf-8")
    options = {"preset": "reference", "hidden_size": 3, "engine": "numpy", "max_updates": 1}
    hint = "x.jsonl is JSON Lines, and every character of it is read: field=NAME reads one field only"
    assert hint in elman.train("x.jsonl", **options).notices  # type: ignore[arg-type]
    assert len(elman.train("x.jsonl", **options, field="text").notices) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("use", ["eval", "score"])
def test_what_a_model_reads_but_was_not_trained_on_is_reported(command: Command, use: str) -> None:
    train(Corpus.from_text(PLAIN), hidden_size=3, engine="numpy", seq_length=5, max_updates=1, out=Path("run"))
    Path("x.jsonl").write_bytes(write_json_lines(PLAIN.split()).replace("\n", "\r\n").encode())
    hint = "warning: x.jsonl is JSON Lines, and every character of it is read: --field NAME reads one field only\n"
    returns = "line ends \\r\\n read as \\n: the model does not know \\r\n"
    assert command(use, "run", "x.jsonl").err == hint + returns
    assert command(use, "run", "x.jsonl", "--field", "text").err == ""  # the line ends are not in the text
