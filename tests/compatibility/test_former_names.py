"""Options and arguments under the names of an earlier version still work."""

import json
from pathlib import Path
from typing import Any

import pytest

import elman
from support.cli import Command, assert_refused
from support.compatibility import DATA, FORWARD, assert_agrees, load, recorded

CONFIG: dict[str, Any] = {
    "final_rate": 0.5, "clip": 3.0, "clip_by": "norm", "averaging": 0.9, "random_state": 7, "rare": 2,
}  # fmt: skip
"""Settings under their former names, which are their keys in run.json."""
SHORT: dict[str, Any] = {"hidden_size": 3, "max_updates": 3, "engine": "numpy", "sample_every": 0}


class Listener:
    """A callback that has every method, and asks for nothing."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        return lambda *_: False


def read_config(run: Path) -> dict[str, Any]:
    """Return the settings in a run.json that CONFIG has, too."""
    config = json.loads((run / "run.json").read_text("utf-8"))["config"]
    return {name: config[name] for name in CONFIG}


# --- Python ---


@pytest.mark.parametrize("method", ["sample", "samples", "beam"])
def test_methods_of_a_model(method: str) -> None:
    cases = [case for case in recorded("samples") if (case["run"], case["method"]) == ("gru2", method)]
    assert any("prime" in case["options"] for case in cases)
    for case in cases:
        result = getattr(load("gru2"), method)(**case["options"])
        assert (result if method != "beam" else "".join(result)) == case["result"], case


def test_stream() -> None:
    (case,) = (case for case in recorded("samples") if case["run"] == "gru2" and case["options"].get("prime") == "zoë")
    assert "".join(load("gru2").stream(**case["options"])) == case["result"]


@pytest.mark.usefixtures("_in_data")
def test_settings_of_train(tmp_path: Path) -> None:
    run = elman.train("corpus.txt", out=tmp_path / "run", preset="paper", **SHORT, **CONFIG)
    assert read_config(tmp_path / "run") == CONFIG
    assert elman.Config(**SHORT, **CONFIG) == run.config


@pytest.mark.usefixtures("_in_data")
def test_watcher_of_train() -> None:
    options: dict[str, Any] = {"watcher": Listener()}
    elman.train("corpus.txt", **SHORT, **options)
    assert options["watcher"].called


def test_random_state_of_gradcheck() -> None:
    former: dict[str, Any] = {"random_state": 7}
    assert elman.gradcheck(DATA / "corpus.txt", hidden_size=3, seq_length=5, **former)


# --- Command line ---


@pytest.mark.usefixtures("_in_data")
@pytest.mark.parametrize(
    "case",
    [case for case in recorded("commands") if "--random-state" in case["arguments"]],
    ids=lambda case: case["stdout"],
)
def test_options_of_sample(command: Command, case: dict[str, Any]) -> None:
    assert command(*case["arguments"]) == (0, case["stdout"], "")


@pytest.mark.usefixtures("_in_data")
def test_context_of_score(command: Command) -> None:
    (case,) = (case for case in recorded("lines") if case["run"] == "lstm" and "--context" in case["arguments"])
    out = command("score", "runs/lstm", *case["arguments"], "--json").out
    losses = [json.loads(line)["nats_per_char"] for line in out.splitlines()]
    assert_agrees(losses, [line[2] for line in case["lines"]], FORWARD["float64"])


@pytest.mark.usefixtures("_in_data")
def test_options_of_train(command: Command, tmp_path: Path) -> None:
    options = [word for name, value in {**SHORT, **CONFIG}.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert command("train", "corpus.txt", "--out", tmp_path / "run", "--preset", "paper", *options, "--json").code == 0
    assert read_config(tmp_path / "run") == CONFIG


@pytest.mark.usefixtures("_in_data")
def test_random_state_of_the_gradcheck_command(command: Command) -> None:
    assert command("gradcheck", "corpus.txt", "--hidden-size", 3, "--seq-length", 5, "--random-state", 7).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "missing", "--streams", 3, "--queue", 9, "--drain", 2],
        ["report", "missing", "--out", "out", "--rare", 2],
    ],
    ids=lambda arguments: arguments[0],
)
def test_options_are_read(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(command(*arguments), "missing")  # and not the options
