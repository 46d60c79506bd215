"""Any number for any option of any command is used, or one line says what is wrong with it, and names the option.

The options follow from the parameters of the commands.
"""

import random
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from cyclopts import App

import elman
from elman.apps.report import pipeline
from elman.apps.serve import models, server
from elman.apps.sweep import loop
from elman.cli.frame import create_app
from elman.errors import ElmanError
from support.cli import Command
from support.state import TEXT, T

VALUES = ["0", "-1", "0.5", "1e308", "1e20", "5e-324", "nan", "inf", "-inf", "", "1" + 400 * "0", 5000 * "9"]
TRAIN = {"--preset": "reference", "--engine": "numpy", "--hidden-size": 3, "--seq-length": T, "--max-updates": 1}
COMMANDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "train": (["novel.txt", "--overwrite", "--quiet"], TRAIN | {"--out": "new"}),
    "sweep": (["novel.txt"], TRAIN | {"--out": "sweep", "--trials": 1}),
    "report": (["novel.txt"], {"--out": "report", "--engine": "numpy"}),
    "gradcheck": (["novel.txt"], {"--hidden-size": 2, "--seq-length": 3, "--engine": "numpy"}),
    "sample": (["run"], {"--length": 5}),
    "eval": (["run", "novel.txt"], {}),
    "score": (["run", "novel.txt"], {}),
    "export": (["run"], {"--out": "model.arpa"}),
    "explain": (["run", "novel.txt"], {"--out": "page.html"}),
    "decode": (["run", "lines.npy"], {"--symbols": "symbols"}),
    "decompress": (["novel.elm", "--model", "run"], {"--out": "restored"}),
    "serve": (["run"], {"--port": 0}),
    "view": (["run"], {}),
}
"""Command -> arguments, and options that are replaced by those under test."""


def list_numbers() -> Iterator[tuple[str, str]]:
    app = create_app(describe=True)
    for name in [each for each in app if not each.startswith("-")]:
        command: App = app[name]
        arguments = command.assemble_argument_collection() if command.default_command else []
        for argument in arguments:
            kinds = {argument.hint, *get_args(argument.hint)}
            if kinds & {int, float} and argument.name.startswith("--"):
                yield name, argument.name


@pytest.fixture
def inputs(folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with what the commands read; let those end, that would serve or take long."""

    def end(*arguments: object, **_: object) -> None:
        for each in arguments:
            if isinstance(each, socket.socket):
                each.close()
        raise ElmanError("the options are valid")

    for module, name in ((server, "run"), (models, "load_models"), (loop, "run_sweep")):
        monkeypatch.setattr(module, name, end)
    monkeypatch.setattr(pipeline._ReportBuilder, "check_gradients", end)
    shutil.copytree(trained, folder / "run")
    (folder / "symbols").write_text("\nt\nh\n", "utf-8")
    np.save(folder / "lines.npy", np.log(np.full((4, 3), 1 / 3)))
    (folder / "novel.elm").write_bytes(elman.compress(TEXT, elman.load("run")))
    return folder


@pytest.mark.parametrize("count", [1, pytest.param(len(VALUES), marks=pytest.mark.slow)])
def test_no_number_is_a_traceback(inputs: Path, command: Command, count: int) -> None:
    tried, wrong, rng = 0, list[str](), random.Random(count)
    for name, option in list_numbers():
        arguments, options = COMMANDS[name]
        for value in rng.sample(VALUES, count):
            others = [str(word) for each in options.items() if each[0] != option for word in each]
            line = [name, *arguments, *others, f"{option}={value}"]
            tried += 1
            try:
                ended = command(*line)
            except Exception as error:
                wrong.append(f"{name} {option}={value[:20]}: {type(error).__name__}: {str(error)[:80]}")
                continue
            is_one_line = ended.code != 2 or (ended.err.count("error: ") == 1 and len(ended.err) < 600)
            if ended.code not in (0, 1, 2) or "Traceback" in ended.err or not is_one_line:
                wrong.append(f"{name} {option}={value[:20]}: {ended.code} {ended.err[-200:]}")
    assert not wrong, f"{len(wrong)} of {tried} command lines:\n" + "\n".join(wrong)
    assert tried > 130 * count


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("train", "--max-seconds", "1e20"), ("train", "--max-seconds", "1e308"), ("train", "--ngram-max-size", "1e308"),
     ("sample", "--top-k", "1" + 400 * "0"), ("sample", "--top-k", 5000 * "9"), ("sample", "--temperature", "1e400")],
)  # fmt: skip
def test_the_error_names_the_option(inputs: Path, command: Command, name: str, option: str, value: str) -> None:
    arguments, options = COMMANDS[name]
    ended = command(name, *arguments, *(word for each in options.items() for word in each), option, value)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {option} must be ")
