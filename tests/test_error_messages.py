"""Every error message, word for word: `golden/errors.txt` has calls, each with its message on the next line.

``python tests/test_error_messages.py --write`` carries out the calls and writes their messages, to be reviewed in the
diff; so does a new message begin: with its call alone.
"""

import contextlib
import io
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elman
import elman.testing
from elman.cli import main
from elman.formats import FORMATS
from elman.network.cells import CELLS
from elman.runs.directory import LOCK
from elman.storage.builtin import MODELS
from elman.text import Corpus
from support.state import TEXT, T
from support.training import train

GOLDEN = Path(__file__).parent / "golden" / "errors.txt"
REGISTRIES = {
    "CELLS": [*CELLS],
    "FORMATS": [*FORMATS],
    "SUFFIXES": [each.SUFFIX for each in FORMATS.values() if each.SUFFIX],
    "IMPORTED_SUFFIXES": [each.SUFFIX for each in FORMATS.values() if each.read],
}
"""What messages list, and the names that the golden file has in its place."""
MODEL = MODELS[-1].file.rpartition("/")[2]
FILES = {
    "novel.txt": TEXT.encode(), "other.txt": TEXT[::-1].encode(), "short.txt": b"abcde", "latin.txt": b"caf\xe9 " * 20,
    "a.txt": b"a", "han.txt": "漢".encode(), "empty.txt": b"", "texts/a.txt": TEXT.encode(), "novel.txt.elm": b"mine",
    "damaged": (40).to_bytes(8, "little") + b'{"elman": "', MODEL: b"", "empty/file": b"",
    "short.npz": b"PK", "bytes": b"\xff",
    "words.arpa": b"\\data\\\nngram 1=1\nngram 2=1\n\\1-grams:\n-1\tthe\n\\2-grams:\n-1\tthe the\n\\end\\\n",
    **{f"runs/{name}/checkpoint.safetensors": b"" for name in "abcd"},
}  # fmt: skip


@contextlib.contextmanager
def make_folder() -> Iterator[None]:
    """Change to a folder with texts, two runs, of which only `code` knows a backslash, and an imported model."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.delenv("ELMAN_API_KEY", raising=False)
        for name, data in FILES.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(data)
        for name, text in (("run", TEXT), ("code", TEXT + "\\")):
            corpus = Corpus.from_text(text, "novel.txt")
            train(corpus, hidden_size=3, seq_length=T, engine="numpy", epochs=2, out=name)
        elman.export("run", "network.npz")
        elman.import_("network.npz", out="kept")
        yield


def find_message(call: str) -> str:
    """Carry out a call, a command or an expression, that must be refused without any effect; return its message."""
    before = find_times()
    kind, _, rest = call.partition(" ")
    message = run_command(rest) if kind == "$" else evaluate(rest)
    assert find_times() == before, call
    for name, entries in REGISTRIES.items():
        message = message.replace(", ".join(entries), name)
    return message


def find_times() -> dict[Path, int]:
    """Return when files were written last; older versions of filelock write an empty lock whenever it is taken."""
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.name != LOCK}


def run_command(line: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    _, *words = (word.replace(r"\n", "\n").replace(r"\0", "\0").replace("MODEL", MODEL) for word in shlex.split(line))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    assert (ended.value.code, out.getvalue(), err.getvalue().count("\n")) == (2, "", 1), err.getvalue()
    return err.getvalue().removesuffix("\n").replace(MODEL, "MODEL")


def evaluate(expression: str) -> str:
    names: dict[str, Any] = {"elman": elman, "np": np, "corpus": Corpus.from_text(TEXT), "model": elman.load("run")}
    if "LineOutlierDetector" in expression:
        names |= vars(pytest.importorskip("elman.apps.sklearn"))
    with pytest.raises((elman.ElmanError, AttributeError)) as raised:
        eval(expression, names)
    return f"{type(raised.value).__name__}: {raised.value}"


BLOCKS = (block.partition("\n") for block in GOLDEN.read_text("utf-8").strip().split("\n\n"))
CALLS = {call: message for call, _, message in BLOCKS}
"""Messages by calls; a line that begins with # is a heading."""


@pytest.fixture(scope="module")
def folder() -> Iterator[None]:
    with make_folder():
        yield


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("call", [call for call in CALLS if not call.startswith("#")])
def test_the_message_is_that_of_the_golden_file(call: str) -> None:
    assert find_message(call) == CALLS[call]


if __name__ == "__main__" and "--write" in sys.argv:
    with make_folder():
        blocks = [call if call.startswith("#") else f"{call}\n{find_message(call)}" for call in CALLS]
    GOLDEN.write_text("\n\n".join(blocks) + "\n", "utf-8")
