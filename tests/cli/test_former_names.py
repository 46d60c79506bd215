"""Options by their former names: they work, and nothing shows or suggests them."""

from pathlib import Path
from typing import Any

import pytest

from elman.cli import app
from elman.cli.former_names import FORMER_OPTIONS, replace_former_options
from elman.config import Config
from elman.runs.directory import RunDirectory
from support.cli import Command, assert_refused
from support.state import ROOT, TEXT, T
from support.training import train

ALL = {
    "train": {
        "--final-rate": "--final-lr-fraction",
        "--clip": "--grad-clip",
        "--clip-by": "--grad-clip-mode",
        "--averaging": "--ema-decay",
        "--random-state": "--seed",
        "--rare": "--min-count",
    },
    "report": {"--rare": "--min-count"},
    "gradcheck": {"--random-state": "--seed"},
    "sample": {"--prime": "--prompt", "--random-state": "--seed"},
    "score": {"--context": "--carry-state"},
    "serve": {"--streams": "--max-batch-size", "--queue": "--max-queued-requests", "--drain": "--shutdown-timeout"},
}
"""Every option that was once documented under another name."""
PAIRS = [(command, former, name) for command, options in ALL.items() for former, name in options.items()]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run directory, in a current folder with the text it was trained on."""
    monkeypatch.chdir(tmp_path)
    Path("novel.txt").write_text(TEXT, encoding="utf-8")
    train("novel.txt", out="run", hidden_size=3, seq_length=T, engine="numpy", max_updates=5, sample_every=0)
    return Path("run")


def test_these_are_all() -> None:
    assert FORMER_OPTIONS == ALL


@pytest.mark.parametrize(("name", "former", "current"), PAIRS)
def test_help_and_docs_have_the_current_name_only(command: Command, name: str, former: str, current: str) -> None:
    words = command(name, "--help").out.split()
    assert current in words
    assert former not in words


def test_the_page_of_commands_has_no_former_name() -> None:
    words = set((ROOT / "docs" / "reference" / "commands.md").read_text("utf-8").replace("`", " ").split())
    assert words & {former for _, former, _ in PAIRS} == set()


@pytest.mark.parametrize(("name", "former", "current"), PAIRS)
def test_the_option_is_replaced_wherever_it_is(name: str, former: str, current: str) -> None:
    assert replace_former_options([name, "x", former, "3"]) == [name, "x", current, "3"]
    assert replace_former_options([name, f"{former}={former}"]) == [name, f"{current}={former}"]
    assert replace_former_options([name, "--", former]) == [name, "--", former]
    assert replace_former_options([name, f"{former}s", f"--stop={former}"]) == [name, f"{former}s", f"--stop={former}"]
    assert replace_former_options(["plot", former]) == ["plot", former]


def test_nothing_is_replaced_in_nothing() -> None:
    assert replace_former_options([]) == []


def test_train(run: Path, command: Command) -> None:
    former: dict[str, Any] = {
        "--final-rate": 0.5, "--clip": 3.0, "--clip-by": "norm", "--averaging": 0.9, "--random-state": 7, "--rare": 1,
    }  # fmt: skip
    options = ["--hidden-size", 3, "--seq-length", T, "--engine", "numpy", "--max-updates", 5]
    words = [word for pair in former.items() for word in pair]
    assert command("train", "novel.txt", "--preset", "paper", "-o", "out", *options, *words).code == 0
    expected = Config(
        hidden_size=3, seq_length=T, engine="numpy", max_updates=5, final_lr_fraction=0.5, grad_clip=3.0,
        grad_clip_mode="norm", ema_decay=0.9, seed=7, min_count=1,
    )  # fmt: skip
    assert RunDirectory(Path("out")).load().config == expected


def test_gradcheck(run: Path, command: Command) -> None:
    options = ["gradcheck", "novel.txt", "--hidden-size", 3, "--seq-length", 4, "--points", 4, "--engine", "numpy"]
    former, current = (command(*options, option, 7, "--json") for option in ("--random-state", "--seed"))
    assert former == current != command(*options, "--json")


def test_sample(run: Path, command: Command) -> None:
    former = command("sample", run, "--length", 20, "--prime", "the ", "--random-state=3")
    assert former == command("sample", run, "--length", 20, "--prompt", "the ", "--seed", 3)
    assert former.code == 0


def test_score(run: Path, command: Command) -> None:
    former, current = (command("score", run, "novel.txt", option) for option in ("--context", "--carry-state"))
    assert former == current
    assert former.code == 0


@pytest.mark.parametrize(
    ("former", "value", "current"),
    [("--streams", 0, "--max-batch-size"), ("--queue", -1, "--max-queued-requests")],
)
def test_serve(run: Path, command: Command, former: str, value: int, current: str) -> None:
    assert_refused(command("serve", run, former, value), current)
    assert_refused(
        command("serve", run, "--drain", -1), "--shutdown-timeout must be a finite number of at least 0 (got -1.0)"
    )


def test_a_wrong_value_names_the_current_option(run: Path, command: Command) -> None:
    assert_refused(
        command("train", "novel.txt", "-o", "out", "--clip", 0), "--grad-clip must be greater than 0 (got 0.0)"
    )


def test_both_names_are_one_option(run: Path, command: Command) -> None:
    assert_refused(command("sample", run, "--seed", 1, "--random-state", 2), "--seed")


@pytest.mark.parametrize(("name", "former", "current"), PAIRS)
def test_a_misspelt_former_name_is_not_suggested(
    run: Path, command: Command, name: str, former: str, current: str
) -> None:
    arguments = {"sample": ["run"], "score": ["run", "novel.txt"], "serve": ["run"]}.get(name, ["novel.txt"])
    out = ["-o", "out"] if name in ("train", "report") else []
    message = command(name, *arguments, *out, f"{former}x", 1).err
    assert f"{former}x" in message
    assert former not in message.replace(f"{former}x", "").replace(current, "").split()


def test_no_former_name_is_an_option_of_the_app() -> None:
    for name, options in ALL.items():
        arguments = {flag for argument in app[name].assemble_argument_collection() for flag in argument.names}
        assert arguments & options.keys() == set()
        assert set(options.values()) <= arguments
