"""``elman sample``: prompts, stop sequences, seeds, JSON, several models, and the prompt loop."""

import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import elman
from elman.cli.commands.sample import MAX_PROMPT, interpret_escapes
from elman.model import Model
from elman.text import Alphabet, with_unknown
from support.cli import Command, assert_refused

Stdin = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def model(run: Path) -> Model:
    return elman.load(run)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    def set_stdin(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))

    return set_stdin


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_sources_of_a_prompt(command: Command, stdin: Stdin, model: Model, tmp_path: Path) -> None:
    expected = (0, "the\n" + model.sample(9, prompt="the\n", seed=1) + "\n", "")
    options = ("sample", "run", "--length", 9, "--seed", 1)
    (tmp_path / "prompt.txt").write_bytes(b"the\n")
    assert command(*options, "--prompt-file", tmp_path / "prompt.txt") == expected
    assert command(*options, "--prompt", r"the\n") == expected
    for source, prompt in (("--prompt", b"the\n\n"), ("--prompt-file", b"the\n")):  # the first drops a line feed
        stdin(prompt)
        assert command(*options, source, "-") == expected
    assert command(*options, "--prompt", "the\n", "--no-echo") == (0, expected[1].removeprefix("the\n"), "")
    (tmp_path / "prompt.txt").write_bytes(b"a" * (MAX_PROMPT + 1))
    refused = command(*options, "--prompt-file", tmp_path / "prompt.txt")
    assert_refused(refused, "a prompt may have at most 10,000,000 characters: pass the end of '")


def test_escapes_are_interpreted_where_a_backslash_cannot_be_meant() -> None:
    for alphabet in (Alphabet("ab\n"), with_unknown(Alphabet("ab\n"))):
        assert interpret_escapes(r"a\n\tb\r\d", alphabet) == "a\n\tb\r\\d"
    assert interpret_escapes(r"a\n", Alphabet("an\\")) == r"a\n"


def test_the_options_reach_the_model(command: Command, model: Model) -> None:
    expected = model.sample(temperature=0.7, top_k=9, top_p=0.9, stop="a", seed=3)
    options = "--temperature 0.7 --top-k 9 --top-p 0.9 --stop a --seed 3"
    assert command("sample", "run", *options.split()) == (0, f"{expected}\n", "")
    texts = model.samples(2, 30, prompt="the ", min_p=0.1, seed=3)
    words = ("--length", 30, "--prompt", "the ", "--min-p", 0.1, "--seed", 3, "--count", 2)
    expected = "".join(f"--- {n} of 2 ---\nthe {text}\n" for n, text in enumerate(texts, 1))
    assert command("sample", "run", *words) == (0, expected, "")
    expected = "the " + "".join(model.beam(3, 30, prompt="the ")) + "\n"
    assert command("sample", "run", "--length", 30, "--prompt", "the ", "--beam", 3) == (0, expected, "")
    for more in (["--top-k", "9007199254740992"], ["--length", "0"]):
        code, _, err = command("sample", "run", "--quiet", *more)
        assert (code, err) == (0, "")


def test_text_is_shown_as_it_is_sampled(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Terminal(io.StringIO):
        def flush(self) -> None:
            shown.append(len(self.getvalue()))

    monkeypatch.setattr("sys.stdout", Terminal())
    command("sample", "run", "--length", 600)
    assert {64, 192, 448, 600} <= set(shown)


def test_json_has_a_line_per_sample(command: Command, model: Model) -> None:
    options: dict[str, Any] = {"prompt": "the\n", "stop": ["ht", "k"], "seed": 3}
    texts = model.samples(4, 40, **options)
    words = ["--prompt", "the\n", "--stop", "ht", "--stop", "k", "--seed", 3]
    code, out, err = command("sample", "run", "--length", 40, "-n", 4, "--json", *words)
    assert (code, err) == (0, "")
    reasons = ["length" if len(text) == 40 else "stop" for text in texts]
    expected = [("run", 3 + n, "the\n", *found) for n, found in enumerate(zip(texts, reasons, strict=True))]
    assert [tuple(row.values()) for row in rows(out)] == expected
    assert {*reasons} == {"stop", "length"}
    (row,) = rows(command("sample", "run", "--length", 5, "--json", "--beam", 2).out)
    assert (row["seed"], row["text"]) == (None, "".join(model.beam(2, 5)))


def test_the_drawn_seed_is_reported(command: Command) -> None:
    code, out, err = command("sample", "run", "--length", 30)
    found = re.fullmatch(r"seed: (\d+) \(repeat with --seed \1\)\n", err)
    assert found is not None
    assert command("sample", "run", "--length", 30, "--seed", found[1]) == (code, out, "")
    assert command("sample", "run", "--length", 3, "-q").err == ""
    assert command("sample", "run", "--length", 3, "--temperature", 0).err == ""
    ended = command("sample", "run", "--length", 30, "--json")
    assert (ended.err, rows(ended.out)[0]["seed"] > 0) == ("", True)


def test_several_models_have_headers(command: Command, model: Model) -> None:
    model.save("other.safetensors")
    words = ("sample", "run", "other.safetensors", "--length", 9, "--prompt", "the", "--seed", 1)
    text = model.sample(9, prompt="the", seed=1)
    assert command(*words) == (0, f"--- run ---\nthe{text}\n--- other.safetensors ---\nthe{text}\n", "")
    heads = [line for line in command(*words, "-n", 2).out.splitlines() if line.startswith("--- ")]
    assert heads == [f"--- {name}, {n} of 2 ---" for name in ("run", "other.safetensors") for n in (1, 2)]


def test_every_line_of_standard_input_is_a_prompt(command: Command, stdin: Stdin, model: Model) -> None:
    stdin(b"the\r\n\nIt")
    code, out, err = command("sample", "run", "-i", "--length", 5, "--seed", 1, "-n", 2, "--json")
    assert (code, err) == (0, "")
    expected = [(p, 1 + 2 * k + n) for k, p in enumerate(["the", "", "It"]) for n in (0, 1)]
    assert [(row["prompt"], row["seed"]) for row in rows(out)] == expected
    assert [row["text"] for row in rows(out)] == [model.sample(5, prompt=p, seed=seed) for p, seed in expected]
    stdin(b"the\nQ\nthe\n")
    code, out, err = command("sample", "run", "-i", "--length", 5, "--seed", 1)
    assert (code, out.count("\n"), err.startswith("error: 'Q'")) == (2, 1, True)
    stdin(b"the\n\xff\n")
    code, _, err = command("sample", "run", "-i", "--length", 5, "--seed", 1)
    assert (code, err) == (2, "error: line 2 of standard input is not UTF-8\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudoterminals")
def test_the_prompt_loop_in_a_terminal() -> None:
    import pty

    pid, terminal = pty.fork()
    if not pid:
        os.environ["TERM"] = "dumb"
        os.execl(sys.executable, sys.executable, "-m", "elman", "sample", "run", "-i", "--length", "10000000", "-q")
    read = _Terminal(terminal)
    read.until("> ")
    os.write(terminal, b"Q\n")  # an unknown character is reported, and the loop goes on
    read.until("error: 'Q' (U+0051)")
    read.until("> ")
    os.write(terminal, b"the\n")
    read.until("the\r\n")
    read.skip(5000)  # of the text
    os.kill(pid, signal.SIGINT)  # ends it
    read.until("\r\n> ")
    os.write(terminal, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_nothing_is_imported_during_generation(engine: str) -> None:
    """Ctrl-C during an import would end the program instead of the text."""
    chunks = elman.load("run", engine=engine).stream(1000, prompt="the")
    next(chunks)
    imports = []

    def record(frame: FrameType, event: str, _: object) -> None:
        if (frame.f_code.co_name, event) == ("_find_and_load", "call"):
            imports.append(frame.f_locals["name"])

    sys.setprofile(record)
    try:
        text = "".join(chunks)
    finally:
        sys.setprofile(None)
    assert (len(text) > 900, imports) == (True, [])


class _Terminal:
    """What a process writes to a pseudoterminal."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.text = descriptor, ""

    def until(self, words: str) -> None:
        while words not in self.text:
            self.text += os.read(self.descriptor, 1 << 16).decode(errors="replace")
        self.text = self.text.partition(words)[2]

    def skip(self, length: int) -> None:
        while len(self.text) < length:
            self.text += os.read(self.descriptor, 1 << 16).decode(errors="replace")
        self.text = self.text[length:]
