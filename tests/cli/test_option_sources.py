"""Options from a file and from environment variables, those of another run, and choices in any case."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from elman.cli.frame import COMMANDS
from elman.config import config_like, make_config, replace_settings
from elman.runs.directory import RunDirectory
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import train

pytestmark = pytest.mark.usefixtures("run")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "options.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_line_comes_first(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = "[sample]\nseed = 1\nlength = 7\nstop = ['tttt', 'ssss']\nno-echo = true\n[train]\nepochs = 2\n"
    config = write(tmp_path, options)
    row = json.loads(command("sample", "run", "--json", "--config", config).out)
    assert (row["seed"], len(row["text"])) == (1, 7)
    assert command("--config", config, "sample", "run", "--prompt", "the ").out.count("the ") == 0
    monkeypatch.setenv("ELMAN_SAMPLE_SEED", "2")
    monkeypatch.setenv("ELMAN_SAMPLE_JSON", "true")
    monkeypatch.setenv("ELMAN_SAMPLE_STOP", " ")  # not split at spaces
    monkeypatch.setenv("ELMAN_SAMPLE_RUNS", "run")
    monkeypatch.setenv("ELMAN_TRAIN_SEED", "3")
    row = json.loads(command("sample", f"--config={config}").out)
    assert (row["model"], row["seed"], " " in row["text"]) == ("run", 2, False)
    assert json.loads(command("sample", "--config", config, "--seed", 4).out)["seed"] == 4


@pytest.mark.parametrize("arguments", ["--config F cache", "import x.npz -o y --alphabet F"])
@pytest.mark.parametrize(
    ("kind", "words"), [("device", "Not a regular"), ("pipe", "Not a regular"), ("huge", "larger than")]
)
def test_a_small_file_is_small_and_regular(
    command: Command, tmp_path: Path, arguments: str, kind: str, words: str
) -> None:
    path = tmp_path / "file"
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    assert_refused(command(*arguments.replace("F", str(path)).split()), "cannot read ", words)


def test_a_preset_gives_way_to_all_of_them(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = f"preset = 'Reference'\nhidden_size = 3\nseq-length = {T}\nengine = 'NumPy'\nmax_updates = 9\nseed = 5\n"
    config = write(tmp_path, f"[train]\n{settings}\n[sample]\nlength = 0\n")
    monkeypatch.setenv("ELMAN_TRAIN_MAX_UPDATES", "2")
    code, _, err = command("train", "novel.txt", "-o", tmp_path / "out", "--config", config, "--seed", 6, "-q")
    assert (code, err) == (0, "")
    found = RunDirectory(tmp_path / "out").manifest().config
    options = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "max_updates": 2, "seed": 6}
    assert found == make_config("reference", options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[eval]\nwindov = 3\n", "unknown option windov in 'options.toml'; did you mean window?"),
        ("[eval.sub]\na = 1\n", "unknown option sub.a in 'options.toml'; see --help"),
        ("[eval]\nwindow = [1, 2]\n", "window in 'options.toml' must be an integer (got '[1, 2]')"),
        ("[eval]\nwindow = 1.5\n", "window in 'options.toml' must be an integer (got '1.5')"),
        ("[eval]\njson = [true]\n", "json in 'options.toml' must be true or false (got '[true]')"),
        ("[eval]\nadapt = 'x'\n", "must be one of weights, counts, both"),
        ("[evl]\n", "unknown command 'evl' in 'options.toml'; did you mean eval?"),
        ("window = 3\n", "'window' in 'options.toml' must be in the table of a command, such as [train]"),
        ("[eval\n", "'options.toml' is not a TOML file ("),
        ("[train]\nmax_seconds = [1]\n", "max_seconds in 'options.toml' must be a number (got '[1]')"),
        ("[train]\nout = ''\n", "out in 'options.toml' must not be empty (got '')"),
        ("[score]\nrun = ['run', 'run']\n", "there is no checkpoint \"['run', 'run']\""),
    ],
)
def test_a_file_that_is_not_valid(command: Command, tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, text)
    name = next((name for name in ("train", "score") if f"[{name}]" in text), "eval")
    assert_refused(command(name, *(["run", "novel.txt"] if name == "eval" else []), "--config", "options.toml"), words)


def test_texts_and_runs_may_be_set_too(command: Command, tmp_path: Path) -> None:
    """In a file that begins with a byte order mark, as editors on Windows write it."""
    config = write(tmp_path, "\ufeff[eval]\nrun = 'run'\ncorpus = ['novel.txt', 'novel.txt']\njson = true\n")
    assert json.loads(command("eval", "--config", config).out)["chars"] == 2 * len(TEXT) - 1


def test_a_command_of_a_command_has_a_table_of_its_own(command: Command, tmp_path: Path) -> None:
    config = write(tmp_path, "[runs]\nbest = 'novel.txt'\n[runs.diff]\njson = true\n")
    assert json.loads(command("runs", "diff", "run", "run", "--config", config).out) == {"settings": {}}
    assert command("runs", "run", "--config", config).out == "run\n"
    config = write(tmp_path, "[runs.diff]\njsno = true\n")
    refused = command("runs", "diff", "run", "run", "--config", config)
    assert_refused(refused, "unknown option jsno in ", "did you mean json?")
    config = write(tmp_path, "[runs]\ndiff = 3\n")
    refused = command("runs", "diff", "run", "run", "--config", config)
    assert_refused(refused, "'diff' in ", " must be the table of a command")
    assert_refused(command("runs", "run", "--config", config), "'diff' in ", " must be the table of a command")
    config.write_text('[runs]\nconfig = "another.toml"', "utf-8")
    assert_refused(command("runs", "run", "--config", config), "'config' in ", " is not read: pass --config on")


def test_a_variable_that_is_not_valid(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELMAN_EVAL_WINDOW", "x")
    assert_refused(command("eval", "run", "novel.txt"), "ELMAN_EVAL_WINDOW must be an integer (got 'x')")
    monkeypatch.delenv("ELMAN_EVAL_WINDOW")
    monkeypatch.setenv("ELMAN_EVAL_WINDOV", "3")
    monkeypatch.setenv("ELMAN_EVAL_SERVICE_HOST", "x")
    monkeypatch.setenv("ELMAN_TRAIN_WINDOV", "3")
    ended = command("eval", "run", "novel.txt")
    names = [line.split()[:4] for line in ended.err.splitlines()]
    assert names == [["warning:", f"ELMAN_EVAL_{name}", "is", "ignored:"] for name in ("SERVICE_HOST", "WINDOV")]
    assert (ended.code, ended.err.endswith("did you mean ELMAN_EVAL_WINDOW?\n")) == (0, True)


def test_no_option_has_the_name_of_another_variable() -> None:
    prefixes = tuple(f"ELMAN_{name.upper()}_" for commands in COMMANDS.values() for name in commands)
    for other in ("ELMAN_CACHE", "ELMAN_API_KEY", "ELMAN_NO_BROWSER", "ELMAN_CHROMIUM", "ELMAN_PLAIN_JIT"):
        assert not other.startswith(prefixes)


def test_like_takes_the_settings_of_another_run(command: Command, tmp_path: Path) -> None:
    options: Any = {"hidden_size": 3, "seq_length": T, "engine": "numpy", "max_updates": 5}
    like = train("novel.txt", out="like", validation=0.2, patience=4, **options).config
    ended = command("train", "novel.txt", "--like", "like", "-o", tmp_path / "out", "--seed", 7, "-q")
    assert (ended.code, ended.err) == (0, "")
    assert RunDirectory(tmp_path / "out").manifest().config == make_config("reference", vars(like) | {"seed": 7})
    assert RunDirectory(tmp_path / "out").read_manifest()["preset"] == "reference"


def test_what_is_not_taken_from_another_run() -> None:
    like = make_config("minute", {"encoding": "latin-1", "patience": 3})
    settings = vars(config_like(like))
    assert (settings["encoding"], settings["hidden_size"]) == ("utf-8", 256)
    limited = replace_settings(settings, {"epochs": 2})
    assert (limited["epochs"], limited["max_seconds"], limited["hidden_size"]) == (2, None, 256)
    unvalidated = make_config("reference", replace_settings(settings, {"validation": 0.0}))
    assert (unvalidated.patience, unvalidated.validate_every) == (0, 0)


def test_completion_of_commands_and_options(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # the command adds a line to the startup file of the shell
    code, out, err = command("--install-completion", "--shell", "bash")
    assert (code, err) == (0, "")
    (script,) = (tmp_path / ".local").rglob("elman")
    assert str(script) in out
    for word in ("train", "gradcheck", "hidden-size", "prompt-file"):
        assert word in script.read_text("utf-8")
