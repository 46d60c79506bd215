"""What a text is taken for, and how it is read therefore. The texts are made here, or are those of Python itself."""

import html.entities
import inspect
import io
import json
import keyword
import random
import sys
import textwrap
import unicodedata
import zoneinfo
from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

import elman
from elman.runs.directory import RunDirectory
from elman.text import Corpus, read_corpus
from elman.text.kinds import KINDS, choose_field, choose_min_count, describe_kind, find_named, look, measure, read_rows
from support.cli import Command
from support.state import ROOT

WORDS = sorted({word for topic in topics.values() for word in topic.split() if word.isalpha() and word.islower()})
RANDOM = random.Random(0)


def sentence(length: int = 12) -> str:
    return " ".join(RANDOM.choices(WORDS, k=length)).capitalize() + "."


def paragraphs(width: int, count: int = 40) -> str:
    texts = (" ".join(sentence() for _ in range(6)) for _ in range(count))
    return "\n\n".join(textwrap.fill(each, width) for each in texts)


def verse(blank: int, end: str = ",.;") -> str:
    lines = [f"{' '.join(RANDOM.choices(WORDS, k=7)).capitalize()}{RANDOM.choice(end)}" for _ in range(300)]
    return "\n".join(line + "\n" * (n % blank == blank - 1) for n, line in enumerate(lines))


def source(*modules: str) -> str:
    return "\n".join(inspect.getsource(import_module(name)) for name in modules)


def log(stamp: str, message: str = "worker {n}: request of {word} took {n} ms") -> str:
    def fill(template: str) -> str:
        n = RANDOM.randrange(10, 60)
        return template.format(n=n, word=RANDOM.choice(WORDS), epoch=1_700_000_000 + n)

    return "\n".join(f"{fill(stamp)} {fill(message)}" for _ in range(300))


def rows(separator: str, names: Iterable[str], *, header: bool = True) -> str:
    names = [*names]
    lines = [separator.join(names)] if header else []
    return "\n".join(lines + [separator.join(f"{RANDOM.choice(WORDS)}{n}" for _ in names) for n in range(200)])


def objects(**fields: Any) -> str:
    return "\n".join(json.dumps({name: make() for name, make in fields.items()}) for _ in range(200))


def number() -> int:
    return RANDOM.randrange(1000)


TRACE = '\n  File "app.py", line {n}, in {word}\n    raise ValueError({n})'
BRACES = "if (x[{n}] > 0) {{\n    call(a, &b[{n}]);\n}} else {{\n    return x + {n};\n}}\n"
HANZI = [chr(0x4E00 + n) for n in range(3000)]


def hanzi(length: int) -> str:
    return "".join(RANDOM.choices(HANZI, k=length))


TEXTS = {
    "text": [
        *(topics[name].replace("\n   ", "\n") for name in ("lambda", "context-managers")),
        *(paragraphs(width) for width in (60, 72, 10_000)),
        *(verse(blank) for blank in (4, 14, 1000)),
        "\n\n".join(f"{RANDOM.choice(WORDS).upper()}:\n{sentence()}" for _ in range(100)),
        "\n\n".join(f"# {sentence(3)}\n\n{sentence(40)}\n\n* {sentence()}\n* {sentence()}" for _ in range(30)),
        "\n".join(f"{hanzi(5)}，{hanzi(5)}。" for _ in range(200)),
        "\n".join(f"{RANDOM.choice(WORDS)} NN B-NP{chr(10) * (n % 9 == 0)}" for n in range(300)),
    ],
    "code": [
        source("argparse"), source("json.decoder", "json.encoder"), source("tokenize"), source("elman.config"),
        source("elman.cli.frame"), "".join(BRACES.format(n=n) for n in range(90)),
        "".join(f".{word} {{\n  color: #{n:06x};\n}}\n" for n, word in enumerate(WORDS[:150])),
    ],
    "list": [
        "\n".join(WORDS), "\n".join(RANDOM.sample(WORDS, 500)), "\n\n".join(WORDS[:300]),
        "\n".join(sorted(zoneinfo.available_timezones())) or "\n".join(WORDS),
        "\n".join(filter(None, (unicodedata.name(chr(n), "") for n in range(0x250, 0x1000)))),
        "\n".join(name for name in html.entities.html5 if name.isalpha()),
        "\n".join([*keyword.kwlist, *sys.stdlib_module_names]),
        "\n".join(status.phrase for status in HTTPStatus),
        "\n".join(f"https://example.org/{a}/{b}" for a, b in zip(WORDS, WORDS[9:], strict=False)),
        "\n".join(f"1. e4 {RANDOM.choice('ce')}5 2. Nf3 {word} 3. d4 cxd4" for word in WORDS[:200]),
        "\n".join(hanzi(2) for _ in range(400)),
    ],
    "log": [
        log("2026-03-{n} 12:{n}:07,123 INFO"), log("Mar 11 12:{n}:{n} host sshd[{n}]:"), log("[{epoch}]"),
        log('127.0.0.1 - - [10/Oct/2026:13:55:{n} +0000] "GET /{word} HTTP/1.1" 200'), log("[12:{n}] <{word}>"),
        log("2026-03-{n}T12:00:{n}Z ERROR", "failed:" + TRACE), log("{n}: no time"),
    ],
    "records": [
        rows(",", ["id", "name", "city"]), rows(",", ["a", "b", "c", "d"]), rows("\t", ["key", "value"]),
        objects(id=number, text=sentence), objects(a=number, b=number),
        "id,note,x\n" + "\n".join(f'{n},"{sentence(4)}\n{sentence(3)}",y' for n in range(50)),
    ],
}  # fmt: skip
NAMES = {("log", 6): "daemon.log"}


@pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind, texts in TEXTS.items() for n in range(len(texts))])
def test_the_kind_of_a_text(kind: str, n: int, tmp_path: Path) -> None:
    path = tmp_path / NAMES.get((kind, n), "text.txt")
    path.write_text(TEXTS[kind][n], encoding="utf-8")
    found = look(read_corpus(path), {})
    assert {"lines": "text"}.get(found.name, found.name) == kind, asdict(found.evidence)


@pytest.mark.parametrize("suffix", ["", ".gz", ".XZ"])
def test_the_suffix_of_a_file_that_may_be_compressed(suffix: str) -> None:
    names = {"a.log": "log", "a.py": "code", "a.md": "text", "a.jsonl": "records", "a.txt": "", "log": ""}
    assert {name: find_named(name + suffix) for name in names} == names


def test_records_have_two_columns_or_more() -> None:
    lines = [f"{word}\n" for word in WORDS[:100]]
    assert read_rows(lines, "CSV") == []
    assert len(read_rows([f"{line[:-1]},x\n" for line in lines], "CSV")) == 98  # without the names and the last
    assert read_rows([f"{line[:-1]},x\n" for line in lines], "") == []


def test_at_least_forty_texts() -> None:
    assert sum(map(len, TEXTS.values())) >= 40
    assert set(TEXTS) | {"lines"} == KINDS.keys()


def test_sentences_may_be_a_list(command: Command) -> None:
    """Where the evidence is not overwhelming, the lines stay as they are, and the option is suggested."""
    lines = [f"{' '.join(RANDOM.choices(WORDS, k=10))}" for _ in range(200)]
    corpus = Corpus.from_lines(lines)
    kind = look(corpus, {})
    assert (kind.name, kind.settings) == ("lines", {})
    assert describe_kind(kind, corpus).endswith("lines=True trains on independent lines")


QUICK: dict[str, Any] = {"preset": "quick", "hidden_size": 4, "engine": "numpy", "max_updates": 2, "ngram_order": 3}


@pytest.mark.parametrize(
    ("kind", "n", "name", "settings"),
    [
        ("list", 0, "words.txt", {"lines": True}),
        ("log", 0, "a.txt", {"lines": True, "mask": "timestamps,uuids,ips,hex,numbers"}),
        ("records", 3, "a.jsonl", {"lines": True, "field": "text"}),
        ("records", 5, "a.csv", {"lines": True, "field": "note"}),
        ("records", 0, "a.csv", {"lines": True}),
        ("text", 10, "poems.txt", {"min_count": 3}),
        ("text", 2, "novel.txt", {}),
    ],
)
def test_what_follows_is_as_if_it_had_been_passed(
    kind: str, n: int, name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    path, out = tmp_path / name, tmp_path / "run"
    text = TEXTS[kind][n]
    if "min_count" in settings:
        text += "".join(HANZI) * 3 + "".join(chr(0x3400 + n) for n in range(20))
    path.write_text(text, encoding="utf-8")
    run = elman.train(path, out=out, **QUICK)
    assert run.text_kind is not None
    assert {name: getattr(run.config, name) for name in run.text_kind.settings} == settings
    assert (run.results()["text_kind"], run.results()["text_settings"].keys()) == (run.text_kind.name, settings.keys())
    passed = elman.train(path, config=run.config)
    assert passed.text_kind is None
    for each in (passed, elman.train(out=out, resume=True, max_updates=3)):
        assert each.corpus.alphabet == run.corpus.alphabet
        assert each.corpus.indices.tolist() == run.corpus.indices.tolist()
        assert each.corpus.sha256 == run.corpus.sha256
    assert RunDirectory(out).manifest().text_kind == run.text_kind
    unchanged = elman.train(path, **QUICK, lines=False, min_count=0, field="")
    assert unchanged.corpus.text == text
    assert unchanged.text_kind is not None
    assert unchanged.text_kind.settings == {}


@pytest.mark.parametrize("passed", [{}, {"lines": True}, {"lines": False}])
@pytest.mark.parametrize(("words", "lines"), [(20, True), (200, False)])
@pytest.mark.parametrize("is_pipe", [False, True])
def test_values_of_several_lines_are_read_alike_at_the_start_and_when_resumed(
    is_pipe: bool, words: int, lines: bool, passed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe is read once: however long its values are, each is a line."""
    values = [f" {sentence(words // 2)}\r\n\n{sentence(words // 2)}\n" for _ in range(20)]
    text = "".join(json.dumps({"note": value}) + "\n" for value in values)
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")

    def read() -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return "-" if is_pipe else tmp_path / "a.jsonl"

    run = elman.train(read(), field="note", **passed, out=tmp_path / "run", **QUICK)
    assert run.config.lines is passed.get("lines", lines or is_pipe)
    if run.config.lines:
        assert sorted(run.corpus.text.split("\n")) == ["", "", *sorted(" ".join(value.split()) for value in values)]
    else:
        assert run.corpus.text == "".join(value.replace("\r\n", "\n") for value in values)
    resumed = elman.train(read(), out=tmp_path / "run", resume=True, max_updates=3)
    assert (resumed.state.update, resumed.corpus.text) == (3, run.corpus.text)


def test_a_person_is_told(folder: Path, command: Command) -> None:
    Path("words.txt").write_text(TEXTS["list"][0], encoding="utf-8")
    Path("a.jsonl").write_text(TEXTS["records"][3], encoding="utf-8")
    options = ["--preset", "quick", "--hidden-size", 4, "--engine", "numpy", "--max-updates", 1, "--ngram-order", 3]
    words = command("train", "words.txt", "-o", "a", *options).err
    share = "'words.txt' looks like a list (100% of its lines are distinct, with 1.0 words on average)"
    assert f"\n{share}: trained with --lines (--no-lines for running text)\n" in words
    records = command("train", "a.jsonl", "-o", "b", *options).err
    assert "'a.jsonl' looks like records (with the fields id, text): trained with --lines --field text (" in records
    assert "looks like" not in command("train", "words.txt", "-o", "c", *options, "--no-lines").err


@pytest.mark.parametrize("preset", ["reference", "steady"])
def test_the_experiments_read_a_text_as_it_is(preset: str) -> None:
    run = elman.train(Corpus.from_text(TEXTS["list"][0]), preset=preset, hidden_size=2, max_updates=1, engine="numpy")
    assert (run.text_kind, run.config.lines) == (None, False)


@pytest.mark.parametrize("text", ["123 " * 40_000, "\n" * 99 + "ab" * 20, " \t" * 99])
def test_a_text_without_a_complete_line(text: str) -> None:
    assert look(Corpus.from_text(text), {}).settings == {}


def test_the_field_with_most_of_the_text() -> None:
    lines = ["id,author,message", *(f"{n},ann,{sentence()}" for n in range(20))]
    assert choose_field(read_rows(lines, "CSV")) == ("message", 12.0)
    assert choose_field(read_rows(["a,b,c", *(f"{n},{n},{n}" for n in range(20))], "CSV")) is None
    assert read_rows(["{not json", "x"], "") == read_rows(["one, two", "three"], "") == []
    assert read_rows(['{"a":' * 30_000, "x"], "") == []  # deeper than the parser of JSON reads


def test_shares_are_of_the_lines_that_are_not_empty() -> None:
    found = measure(["one.", "}", '{"a": 3}', "", *["four"] * 97])
    assert (found.lines, found.sentence_ends, found.code_ends, found.objects) == (100, 0.01, 0.01, 0.01)


def test_rare_characters_of_a_large_alphabet() -> None:
    few = Corpus.from_text("".join(HANZI[:500]) * 2)
    rare = Corpus.from_text("".join(HANZI[:1500]) * 3 + "".join(HANZI[1500:1510]))
    even = Corpus.from_text("".join(HANZI) * 3)
    assert [choose_min_count(each) for each in (few, rare, even)] == [0, 3, 3]
    assert look(rare, {}).settings == {}


def test_the_readme_and_the_pages_are_running_text() -> None:
    for path in (ROOT / "README.md", *sorted((ROOT / "docs/how_to").glob("*.md"))):
        assert look(read_corpus(path), {}).name in ("text", "code"), path


@pytest.mark.parametrize(
    ("kind", "n", "name", "passed", "settings"),
    [
        ("log", 0, "a.txt", {"mask": "numbers"}, {}),  # masks are of lines
        ("log", 0, "a.txt", {"lines": True}, {"mask": "timestamps,uuids,ips,hex,numbers"}),
        ("log", 0, "a.txt", {"lines": False}, {}),
        ("records", 3, "a.jsonl", {"field": "text"}, {"lines": True}),
        ("records", 3, "a.jsonl", {"lines": False}, {"field": "text"}),
        ("list", 0, "a.txt", {"min_count": 1}, {"lines": True}),
    ],
)
def test_what_is_passed_is_kept_and_the_rest_follows(
    kind: str, n: int, name: str, passed: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(TEXTS[kind][n], encoding="utf-8")
    run = elman.train(tmp_path / name, **QUICK, **passed)
    assert run.text_kind is not None
    assert run.text_kind.settings == settings
    assert {key: getattr(run.config, key) for key in passed} == passed
    assert run.config.lines == passed.get("lines", True)


def test_long_values_are_running_text_whatever_the_size_of_the_file(tmp_path: Path) -> None:
    for words, lines in ((20, True), (200, False)):
        for count in (10, 1000):
            rows = (f'{n},"{sentence(words)}\n{sentence(3)}"' for n in range(count))
            (tmp_path / "a.csv").write_text("\n".join(["id,note", *rows]), encoding="utf-8")
            kind = look(read_corpus(tmp_path / "a.csv"), {})
            assert kind.settings == {"field": "note"} | ({"lines": True} if lines else {})
