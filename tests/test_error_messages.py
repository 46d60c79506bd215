"""The messages of each kind of error, word for word: `errors.txt` has calls, each with its message on the next line.

The file in `golden` is that of the core, those in `apps` are those of the applications. A new call has an empty line in
the place of its message: ``python tests/test_error_messages.py --write`` carries out the calls and writes the messages,
to be reviewed in the diff.
"""

import contextlib
import io
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.cli import main
from elman.cli.frame import CORE, INSTALLED
from elman.formats import FORMATS, list_readers
from elman.model.adaptation import ADAPTATIONS
from elman.network.cells import CELLS
from elman.runs.directory import LOCK
from elman.text import Corpus
from support.state import TEXT, T
from support.training import train

HERE = Path(__file__).parent
GOLDEN = [HERE / "golden" / "errors.txt", *sorted(HERE.glob("apps/*/errors.txt"))]
REGISTRIES = {
    "ADAPTATIONS": [*ADAPTATIONS],
    "CELLS": [*CELLS],
    "COMMANDS": [*CORE, "help", *INSTALLED],
    "FORMATS": [*FORMATS],
    "SUFFIXES": [each.suffix for each in FORMATS.values() if each.suffix],
    "IMPORTED_SUFFIXES": [*list_readers()],
}
"""What messages list, and the names that the golden file has in its place."""
FILES = {
    "novel.txt": TEXT.encode(), "other.txt": TEXT[::-1].encode(), "latin.txt": b"caf\xe9 " * 20,
    "han.txt": "漢".encode(), "damaged": (40).to_bytes(8, "little") + b'{"elman": "', "novel.txt.elm": b"mine",
    "runs/a/checkpoint.safetensors": b"",
}  # fmt: skip


@contextlib.contextmanager
def make_folder() -> Iterator[None]:
    """Change to a folder with texts, a run and an imported model."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.delenv("ELMAN_API_KEY", raising=False)
        for name, data in FILES.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(data)
        corpus = Corpus.from_text(TEXT, "novel.txt")
        train(corpus, hidden_size=3, seq_length=T, engine="numpy", epochs=2, out="run")
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
    _, *words = (word.replace(r"\n", "\n") for word in shlex.split(line))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    assert (ended.value.code, out.getvalue(), err.getvalue().count("\n")) == (2, "", 1), err.getvalue()
    return err.getvalue().removesuffix("\n")


def evaluate(expression: str) -> str:
    names: dict[str, Any] = {"elman": elman, "corpus": Corpus.from_text(TEXT), "model": elman.load("run")}
    with pytest.raises((elman.ElmanError, AttributeError, TypeError)) as raised:
        eval(expression, names)
    return f"{type(raised.value).__name__}: {raised.value}"


def read_golden(path: Path) -> dict[str, str]:
    """Return messages by calls."""
    lines = path.read_text("utf-8").splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=True))


CALLS = {call: message for path in GOLDEN for call, message in read_golden(path).items()}


@pytest.fixture(scope="module")
def folder() -> Iterator[None]:
    with make_folder():
        yield


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("call", CALLS)
def test_the_message_is_that_of_the_golden_file(call: str) -> None:
    assert find_message(call) == CALLS[call]


if __name__ == "__main__" and "--write" in sys.argv:
    with make_folder():
        for path in GOLDEN:
            path.write_text("".join(f"{call}\n{find_message(call)}\n" for call in read_golden(path)), "utf-8")
