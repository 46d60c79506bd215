"""Commands that use the built-in model or text where none is given."""

import json
from pathlib import Path
from typing import Any

import pytest

from elman.cli.frame import CORE, INSTALLED
from elman.cli.parameters import choose_corpus
from elman.errors import ElmanError
from support.cli import Command, assert_refused

ENGLISH = (
    "It was the end of the summer, and the garden was quiet. My father had gone to the town in the morning with the\n"
    "old horse, and we did not think that he would be back before the evening.\n"
)
NOTICE = "using the built-in model, because no run is given\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(ENGLISH, "utf-8")
    return tmp_path


def test_text_is_generated(command: Command) -> None:
    ended = command("sample", "--length", 40, "--seed", 1)
    assert ended.code == 0
    assert ended.err == NOTICE
    assert len(ended.out) == 41
    sample: dict[str, Any] = json.loads(command("sample", "--length", 40, "--seed", 1, "--json").out)
    assert (sample["model"], sample["text"] + "\n") == ("builtin", ended.out)
    assert command("sample", "builtin", "--length", 40, "--seed", 1) == (0, ended.out, "")


def test_lines_are_scored(command: Command) -> None:
    ended = command("score", "notes.txt", "--json")
    first, second = map(json.loads, ended.out.splitlines())
    assert ended.err == ""
    assert f"{first['text']}\n{second['text']}\n" == ENGLISH
    assert max(first["nats_per_char"], second["nats_per_char"]) < 2
    assert command("score", "builtin", "notes.txt", "--json").out == ended.out
    assert command("score", "notes.txt").err == NOTICE


def test_texts_are_evaluated(command: Command) -> None:
    figures = json.loads(command("eval", "notes.txt", "--json").out)
    assert figures["chars"] == len(ENGLISH) - 1
    assert figures["bits_per_char"] < 3
    Path("more.txt").write_text(ENGLISH, "utf-8")
    assert json.loads(command("eval", "notes.txt", "more.txt", "--json").out)["chars"] > figures["chars"]


def test_a_directory_of_its_name_is_a_run(command: Command) -> None:
    Path("builtin").mkdir()
    assert_refused(command("sample", "builtin"), "there is no checkpoint 'builtin/checkpoint.safetensors'")
    assert command("sample", "--length", 5, "-q").code == 0


PATHS = [
    *("sample", "score", "eval builtin", "train", "gradcheck", "runs", "plot", "runs rm", "export", "runs diff runs"),
    *("train x --like", "train x -o", "sample --prompt-file", "--config", "train x --init-from", "import"),
    *("explain", "serve", "view", "course", "compress", "decompress", "compress notes.txt -m", "explain builtin -o"),
    *("sweep x --space", "decode builtin x --symbols"),
]
"""Command lines that lack a path at their end."""


@pytest.mark.parametrize("arguments", [each for each in PATHS if each.split()[0] in {*CORE, *INSTALLED, "--config"}])
@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_current_directory(arguments: str, path: str, command: Command) -> None:
    assert_refused(command(*arguments.split(), path), f" must not be empty (got {path!r})")


def test_the_text_of_a_command_that_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    piped = "text"
    monkeypatch.setattr("elman.text.sources.inspect_standard_input", lambda: piped)
    assert choose_corpus() == "-"
    piped = "nothing"
    assert choose_corpus() is None
    for piped, reason in (("ended pipe", "without data"), ("silent pipe", "delivered nothing in 5 s")):  # noqa: B007
        with pytest.raises(ElmanError, match=f"standard input is a pipe .*{reason}"):
            choose_corpus()
