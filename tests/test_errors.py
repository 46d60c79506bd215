"""What messages show of a value that was given."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import MAX_PATH_SHOWN, MAX_SHOWN, ElmanError, quote, shorten
from elman.runs.texts import describe_text
from elman.text import Corpus
from elman.text.corpus import SampledText
from elman.training.advice import Outcome, advise
from elman.training.limits import Stopwatch, describe_time
from elman.training.run import Run
from support.cli import Command
from support.state import TEXT, T
from support.training import train

LONG = "abcdefghij" * 20_000
LINES = "one line\nand another\n" * 10_000


def test_a_long_value_loses_its_middle() -> None:
    assert (shorten("a" * MAX_SHOWN), shorten(17)) == ("a" * MAX_SHOWN, "17")
    assert shorten("a" * 99 + "bc") == "a" * 50 + "…" + "a" * 47 + "bc"
    assert (quote("it's"), quote(Path("a/b")), quote(b"a"), quote(None)) == ('"it\'s"', "'a/b'", "b'a'", "None")
    assert len(quote("\0" * 1000)) == MAX_SHOWN


@pytest.mark.parametrize(
    ("describe", "words"),
    [
        (
            lambda run: describe_text(replace(run.corpus, sampled=SampledText(9, 1), skipped=1)),
            "in 1 piece, spread eve",
        ),
        (lambda run: repr(run), "<Run on 'text': 1 update, "),
        (lambda run: repr(run.metrics), "<1 record, "),
        (
            lambda run: describe_time(replace(run, stopped="max_seconds"), Stopwatch(), 0.1),
            "busy: 1 update, each 10.0 times as long as alone",
        ),
        (
            lambda run: advise(Outcome([(1, 9.0)], [(1, 1.0)], 1.0, epochs=1.0, read_enough=True)),
            "Stop: 1 epoch is enough; more",
        ),
    ],
)
def test_one_is_singular(describe: Callable[[Run], str], words: str) -> None:
    found = describe(train(Corpus.from_text(TEXT), hidden_size=3, seq_length=T, engine="numpy", max_updates=1))
    assert words in found
    assert not re.search(r"\b1 (?!is\b|has\b)\w+s\b", found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    (folder / "novel.txt").write_text(TEXT, encoding="utf-8")
    (folder / "link").symlink_to("link")
    train(folder / "novel.txt", out=folder / "run", hidden_size=3, seq_length=T, engine="numpy", max_updates=2)
    return folder


# Each has a LONG in one place.
COMMANDS = """
    LONG
    --LONG
    train LONG --out x
    train -LONG --out x
    train novel.txt --out x LONG
    train novel.txt --out x --LONG 1
    train novel.txt --out x --preset LONG
    train novel.txt --out x --hidden-size LONG
    train novel.txt --out x --hidden-size -DIGITS
    train novel.txt --out x --encoding LONG
    train novel.txt --out x --log LONG
    train novel.txt --out x --like LONG
    train novel.txt --out LONG --preset reference --max-updates 1
    train novel.txt --out run --resume --seed DIGITS
    train --config LONG
    sample LONG
    sample run --prompt LONG
    sample run --prompt-file LONG
    sample run --copied-from LONG
    eval run LONG
    export run LONG
    export run LONG --format npz
    export run LONG --format hub
    sample hf://LONG
    import LONG --out x
    plot LONG
    plot run --out LONG
    gradcheck LONG
"""


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines(), ids=str.strip)
def test_no_command_error_is_long(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(folder)
    words = [word.replace("LONG", LONG).replace("DIGITS", "9" * 4000) for word in line.split()]
    ended = command(*words)
    assert (ended.code, LONG[:200] in ended.out) == (2, False)
    assert len(ended.err) < 400 + MAX_PATH_SHOWN


# Each has the path of a link to itself in one place.
LINKS = """
    train LINK -o x
    train novel.txt -o LINK
    train novel.txt -o LINK --live
    train novel.txt -o x --live --live-with LINK
    train novel.txt -o x --init-from LINK
    train novel.txt -o x --like LINK
    train novel.txt -o x --validation LINK
    train -o LINK --resume
    sample LINK
    score LINK novel.txt
    score run LINK
    score run novel.txt --against LINK
    eval run LINK
    explain LINK novel.txt -o x.html
    compress LINK
    decompress LINK
    decode none LINK --symbols novel.txt
    ensemble run LINK -o x
    export LINK x.npz
    export run LINK --format hub
    import LINK x
    plot LINK
    plot run --out LINK
    runs LINK
    runs diff run LINK
    serve LINK --port 0
    view LINK --port 0
    sweep LINK -o x --trials 1
    report LINK -o x
"""


@pytest.mark.parametrize("line", LINKS.strip().splitlines(), ids=str.strip)
def test_a_link_to_itself(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(folder)
    ended = command(*line.replace("LINK", "link").split())
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("text", [LONG, LINES], ids=["long", "lines"])
def test_no_error_in_python_is_long(folder: Path, text: str) -> None:
    model: Any = elman.load(folder / "run")
    train_any: Any = elman.train
    calls: list[Any] = [
        lambda: train_any(text),
        lambda: train_any(TEXT, out=text),
        *(
            partial(train_any, folder / "novel.txt", **{name: text})
            for name in ("preset", "cell", "hidden_size", "engine", text)
        ),
        lambda: elman.gradcheck(text),
        lambda: elman.load(text),
        lambda: model.sample(5, prompt=text + "Q"),
        lambda: model.sample(5, stop=text + "Q"),
        lambda: model.sample(5, adapt=text),
        lambda: model.score(TEXT, adapt=text),
    ]
    for call in calls:
        with pytest.raises(ElmanError) as raised:
            call()
        assert len(str(raised.value)) < 400
