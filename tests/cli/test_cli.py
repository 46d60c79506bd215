"""The command line: what it prints, where, and how it ends. Mostly in this process; a few by `python -m elman`."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import types
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import elman
from elman import __main__ as entry_point
from elman.cli.display import TrainingDisplay
from elman.cli.frame import COMMANDS
from elman.cli.parameters import HELP_ALL
from elman.config import FOLLOW_TEXT, Config, help_of, list_types, make_config
from elman.errors import FLAGS, flag
from elman.machine import HANGUP
from elman.network.sampling import list_sampling_options
from elman.recipe import DEFAULT_PRESET
from elman.runs.directory import RunDirectory
from elman.text import Corpus
from elman.training import records
from support.cli import Command, assert_refused
from support.state import TEXT, T
from support.training import train

REFERENCE = ["--preset", "reference"]
SMALL = [*REFERENCE, "--hidden-size", "3", "--seq-length", str(T), "--engine", "numpy", "--quiet"]


def elman_process(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "elman", *map(str, arguments)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes | options)


def test_all_help_shows_every_setting_with_its_help_and_its_default(folder: Path) -> None:
    """In a process of its own: which options are shown is decided before a command is imported."""
    with elman_process("train", HELP_ALL) as process:
        words = " ".join(process.communicate()[0].decode().replace("│", "").split()).replace("- ", "-")  # ends of lines
    for field in fields(Config):
        default = getattr(make_config(DEFAULT_PRESET), field.name)
        default = "as the text looks" if field.name in FOLLOW_TEXT else "none" if default in (None, "") else default
        assert f" {flag(field.name)} " in words
        assert f"{help_of(field.name).format_map(FLAGS)} ".replace("- ", "-") in words
        assert f"[default: {default}]" in words


def test_help_shows_the_options_that_most_people_need(folder: Path, command: Command) -> None:
    out = command("train", "--help").out
    shown = {flag for line in out.splitlines() for flag in re.findall(r"^│[* ]{1,4}(--[\w-]+)", line)}
    assert {"--out", "--preset", "--validation", "--max-seconds", "--lines"} <= shown
    assert len(shown) <= 25
    assert "--help-all shows all settings" in out
    assert "--hidden-size" not in command("sweep", "--help").out


def test_help_groups_the_commands_most_used_first(folder: Path, command: Command) -> None:
    assert command() == command("--help") == command("-h") == command("help")
    assert command().code == 0
    assert command("help", "plot").out.split()[:9] == command("plot", "--help").out.split()[:9]
    lines = [line.strip("│╭╰─╮╯ ").split() or [""] for line in command("--help").out.splitlines()]
    expected = [word for title, names in COMMANDS.items() for word in (title, *names)]
    names = [words[0] for words in lines if words[0] in expected]
    assert names[1:] == expected  # the first begins the description


def test_the_version(command: Command) -> None:
    assert command("--version") == command("-V") == (0, f"{elman.__version__}\n", "")


# --- Train ---


def test_train_prints_one_line_of_json(folder: Path, command: Command) -> None:
    handler = signal.getsignal(signal.SIGINT)
    code, out, err = command("train", "novel.txt", "--out", "out", *SMALL, "--max-updates", 20, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert signal.getsignal(signal.SIGINT) is handler
    results = json.loads(out)
    assert (results["kept_update"], results["stopped"]) == (20, "max_updates")
    assert "longer" in results["advice"]
    assert (results["updates"], results["epochs"], results["validation_loss"]) == (20, 1.3333, None)
    state = RunDirectory(Path("out")).load().state
    assert (results["smooth_loss"], results["minimum_at"]) == (state.smooth_loss / T, state.minimum_at)
    assert results["minimum_smooth_loss"] == state.minimum_smooth_loss / T


@pytest.mark.parametrize("value", ["none", "NULL"])
def test_none_is_not_a_number(folder: Path, command: Command, value: str) -> None:
    settings = [(["train", "shakespeare", "--out", "run"], name, hint) for name, hint in list_types().items()]
    sampling = [(["sample", "tiny"], option.name, option.type) for option in list_sampling_options()]
    for arguments, name, hint in (*settings, *sampling):
        if kinds := {int, float} & {hint, *get_args(hint)} if str not in get_args(hint) else set():
            expected = "an integer" if int in kinds else "a number"
            assert_refused(command(*arguments, flag(name), value), f"{flag(name)} must be {expected} (got {value!r})")


def test_two_hyphens_end_the_options(folder: Path, command: Command) -> None:
    for name in ("-dash.txt", "--seed"):
        Path(name).write_text(TEXT, encoding="utf-8")
    ended = command("train", "--out", "out", *SMALL, "--max-updates", 1, "--json", "--", "-dash.txt", "--seed")
    assert (ended.code, ended.err, json.loads(ended.out)["text"]) == (0, "", "-dash.txt and 1 more")


def test_a_resumed_run_that_is_finished_says_so(run: Path, command: Command) -> None:
    for quiet in ([], ["--quiet"]):
        ended = command("train", "novel.txt", "--out", "run", "--resume", *quiet)
        assert (ended.code, ended.out) == (0, "")
        assert ended.err.splitlines()[-1] == "already at epoch 2 (update 30); pass a higher --epochs (now 2)"


def test_train_ends_with_figures_and_advice(folder: Path, command: Command) -> None:
    shown = [word for word in SMALL if word != "--quiet"]
    code, out, err = command("train", "novel.txt", "--out", "my run", *shown, "--max-updates", 20)
    assert (code, err.splitlines()[0][:11]) == (0, "training on")
    loss = elman.list_runs("my run")[0]["train_loss"]
    table, sample = out.split("\nsample at temperature 0.7:\n\n")
    rows = dict(re.split("  +", line.strip()) for line in table.splitlines())
    assert [*rows] == ["train loss", "updates", "time"]
    assert (rows["train loss"], rows["updates"]) == (f"{loss:.3f} nats/char", "20 (1.33 epochs)")
    assert len(sample.partition("\n\nTrain longer")[0]) == records.FINAL_LENGTH
    *_, advice, longer, more = out.splitlines()
    assert advice == "Train longer: there are too few updates to see a trend."
    assert longer == "to train longer: elman train --out 'my run' --resume --max-updates 40"
    assert more == "to generate more: elman sample 'my run'"
    for suggested in command("train", "novel.txt", "--out=-dash", *shown, "--max-updates", 20).out.splitlines()[-2:]:
        assert command(*shlex.split(suggested.partition(": elman ")[2]), "-q").code == 0
    code, out, err = command(*shlex.split(longer.partition(": elman ")[2]), "-q")
    assert (code, RunDirectory(Path("my run")).load().state.update) == (0, 40)
    assert re.fullmatch(r"my run: train loss \d\.\d{3} nats/char, updates 40 \(2\.67 epochs\), time \d\.\d s\n", out)


def test_where_the_learning_rate_has_decayed_a_new_run_trains_longer(folder: Path, command: Command) -> None:
    options, shown = ("--schedule", "cosine", "--max-updates", 20), [word for word in SMALL if word != "--quiet"]
    out = command("train", "novel.txt", "--out", "out", *shown, *options).out
    longer = "train novel.txt --out out-longer --like out --max-updates 40"
    assert f"\nto train longer: elman {longer}\n" in out
    assert command(*longer.split(), "--quiet").code == 0
    assert [(row["run"], row["updates"]) for row in elman.list_runs("out-longer")] == [("out-longer", 40)]
    out = command("train", "--out", "out", "--resume", "--max-updates", 30).out
    assert "\nto train longer: elman train --out out --resume --max-updates 60\n" in out


def test_train_says_why_it_ended(folder: Path, command: Command) -> None:
    options = ["--validation", "0.25", "--validate-every", 1, "--patience", 2, "--learning-rate", 5, "--epochs", 100]
    code, out, err = command("train", "novel.txt", "--out", "out", *SMALL, *options, "--json")
    assert (code, err) == (0, "")
    results = json.loads(out)
    assert results["stopped"] == "patience"
    assert elman.list_runs("out")[0]["validation_loss"] > 0
    best = RunDirectory(Path("out")).load().best
    assert best is not None
    assert results["kept_update"] == best.update
    assert Path("out/best.safetensors").exists()
    assert command("sample", "out/best.safetensors").code == command("sample", "out").code == 0


def test_every_option_of_train_reaches_the_run(folder: Path, command: Command) -> None:
    settings: dict[str, Any] = {
        "hidden_size": 4, "seq_length": 6, "learning_rate": 0.2, "grad_clip": 3.0, "init_std": 0.3, "epochs": 2,
        "max_updates": 9, "max_seconds": 50.0, "validation": 0.2, "seed": 7, "engine": "numpy",
        "dtype": "float64", "sample_every": 4, "sample_length": 9, "metrics_every": 3, "encoding": "latin-1",
        "cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam", "schedule": "cosine",
        "warmup": 2, "final_lr_fraction": 0.1,
        "grad_clip_mode": "norm", "beta1": 0.8, "beta2": 0.99, "weight_decay": 0.01, "ema_decay": 0.9, "dropout": 0.3,
        "dropout_kind": "plain", "weight_dropout": 0.2, "init": "orthogonal", "validate_every": 2, "patience": 4,
        "validation_chars": 300, "max_chars": 10**6,
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in (flag(name), value)]
    logs = ["--log", "jsonl", "--log", "tensorboard"]
    assert command("train", "novel.txt", "--out", "out", "--preset", "reference", *options, *logs).code == 0
    assert RunDirectory(Path("out")).load().config == Config(**settings)
    assert RunDirectory(Path("out")).manifest().log == ("jsonl", "tensorboard")


@pytest.mark.parametrize("arguments", ["train - --out out --epochs 1", "eval run -", "gradcheck - --points 5"])
def test_standard_input(run: Path, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.encode())))
    options = {"train": SMALL, "eval": [], "gradcheck": ["--seq-length", "5", "--hidden-size", "2", "-q"]}
    code, _, err = command(*arguments.split(), *options[arguments.split()[0]])
    assert (code, err) == (0, "")


def test_an_interrupted_training_is_saved(folder: Path, command: Command) -> None:
    process = elman_process("train", "novel.txt", "--out", "out", *SMALL, "--epochs", 10**9)
    try:
        while not Path("out/checkpoint.safetensors").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out.decode().endswith("resume with: elman train --out out --resume\n")
    assert err.decode() == "stopping: saving the run (press Ctrl-C again to stop at once)\n"
    end = RunDirectory(Path("out")).load().state.update + 50
    assert command("train", "novel.txt", "--out", "out", "--resume", "--max-updates", end).code == 0


@pytest.mark.parametrize("number", [*filter(None, [signal.SIGINT, signal.SIGTERM, HANGUP])])
def test_a_signal_before_the_first_update_need_not_wait(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """It interrupts the compilation of kernels, when there is a run, and the counting, when there is none.

    In a function that LLVM calls, which would lose the exception, the signal is postponed.
    """
    names = {"__name__": "llvmlite.binding.ffi", "raise_signal": signal.raise_signal}
    exec("def call_back(number): raise_signal(number)", names)

    def stop(*_: object) -> None:
        names["call_back"](number)  # type: ignore[operator]
        time.sleep(60)
        raise AssertionError("it went on")

    arguments = ("train", "novel.txt", *SMALL, "--max-updates", 20, "--out")
    with monkeypatch.context() as patch:
        patch.setattr("elman.training.loop.finish_compiling", stop)
        ended = command(*arguments, "out")
        assert (ended.code, ended.err) == (130, "stopping: saving the run (press Ctrl-C again to stop at once)\n")
        assert ended.out.endswith("stopped and saved; resume with: elman train --out out --resume\n")
        assert elman.list_runs("out")[0]["stopped"] == "interrupted"
        patch.setattr("elman.training.loop.initial_state", stop)
        assert command(*arguments, "none") == (130, "", "")
    assert not Path("none").exists()
    assert command("train", "--out", "out", "--resume", "--quiet").code == command(*arguments, "whole").code == 0
    assert Path("out/samples.jsonl").read_bytes() == Path("whole/samples.jsonl").read_bytes()
    states = [RunDirectory(Path(out)).load().state for out in ("out", "whole")]
    assert states[0].smooth_loss == states[1].smooth_loss


def test_a_lost_terminal_saves_the_run(folder: Path) -> None:
    """The kernel sends SIGHUP to the process, as when an SSH session is lost; a shell sends it once more."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    arguments = ["train", "novel.txt", "--out", "out", *SMALL[:-1], "--epochs", str(10**9)]
    terminal, other_end = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), other_end)
    process = elman_process(
        *arguments, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(other_end, termios.TIOCSCTTY, 0), **streams
    )
    os.close(other_end)
    try:
        while b"chars/s" not in os.read(terminal, 10_000):
            pass
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    assert RunDirectory(Path("out")).load().state.update > 0
    assert RunDirectory(Path("out")).manifest().stopped == "interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP")
def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with TrainingDisplay(quiet=True) as display:
            signal.raise_signal(signal.SIGHUP)
            assert not display.should_stop()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError("Unable to allocate 2.98 GiB"), 2, "not enough memory (Unable to allocate 2.98 GiB): use "),
        (MemoryError(), 2, "not enough memory (Python cannot allocate more): use a smaller model, or for training"),
        (PermissionError(13, "Permission denied", "run"), 2, "cannot use 'run' (Permission denied)"),
    ],
    ids=repr,
)
def test_what_ends_a_command_is_at_most_one_line(
    run: Path, command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    def load(*_: object) -> None:
        raise error

    monkeypatch.setattr("elman.model.loading.load", load)
    ended = command("sample", run)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1 if line else 0)
    assert ended.err.startswith(f"error: {line}" if line else "")


TELLS_WHEN_IT_HANDLES_INTERRUPTS = """
import signal, sys
from elman.__main__ import main
set_handler = signal.signal
def set_and_tell(*arguments):
    before = set_handler(*arguments)
    print("ready", flush=True)
    return before
signal.signal = set_and_tell
sys.argv = ["elman", "gradcheck", "--hidden-size", "3", "--seq-length", "3", "-q"]
main()
"""


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_an_interrupt_while_it_starts_ends_without_noise(folder: Path, seconds: float) -> None:
    command = [sys.executable, "-c", TELLS_WHEN_IT_HANDLES_INTERRUPTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)  # any moment will do
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == b""
    assert process.returncode in (130, 0)  # the latter where it was faster than the signal


# --- Sample, eval, plot, gradcheck ---


def test_plot_draws_a_png_or_what_else_matplotlib_writes(run: Path, command: Command) -> None:
    assert command("plot", run, run, "--out", "curves.svg") == (0, "curves.svg\n", "")
    assert Path("curves.svg").read_bytes().startswith(b"<?xml")
    assert command("plot", run, "--by", "epochs") == (0, "losses.png\n", "")
    assert Path("losses.png").read_bytes().startswith(b"\x89PNG")
    assert_refused(command("plot", run, "--out", "losses.txt"), "the file of a plot must end in .eps, ")


CHECK = ["gradcheck", "novel.txt", "--hidden-size", 4, "--seq-length", 5, "--points", 10, "--engine", "numpy", "-q"]


def test_gradcheck_prints_json_or_a_table(folder: Path, command: Command) -> None:
    options = ("--layers", 2, "--ngram-order", 3)
    code, out, err = command(*CHECK, *options, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    ((*sizes, errors),) = (experiment.values() for experiment in found["experiments"])
    names = [*errors]
    assert (found["passed"], sizes, " ".join(names)) == (True, [10, 4, 5], "U W b U2 W2 b2 V c alpha h0")
    code, shown, err = command(*CHECK, *options)
    assert (code, err) == (0, "")
    assert {*names, "passed", "yes"} <= set(shown.split())
    assert "…" not in shown


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_gradcheck_that_fails_ends_with_1(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr("elman.testing.gradcheck.MAX_RELATIVE_ERROR", 0.0)
    code, out, err = command(*CHECK, *options)
    assert (code, err) == (1, "")
    assert ("false" if options else "NO") in out


def test_a_reader_that_stops_early_makes_no_noise(run: Path) -> None:
    process = elman_process("sample", run, "-q", "--length", 10**7)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.usefixtures("run")
def test_a_terminal_without_a_size() -> None:
    """Rich prints nothing in no columns."""
    process = elman_process("eval", "run", "novel.txt", env=os.environ | {"COLUMNS": "0"})
    assert b"perplexity" in process.communicate()[0]


def test_text_is_utf8_whatever_the_terminal_says(folder: Path) -> None:
    train(Corpus.from_text("åäö漢字🐈" * 9), hidden_size=3, seq_length=T, engine="numpy", epochs=1, out="run")
    process = elman_process("sample", "run", "-q", "--length", 100, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert set(out.decode("utf-8")) == set("åäö漢字🐈\n")


STOPPED = """
import os, signal, sys
from elman.__main__ import main
from elman.cli.frame import main as _

class Late:  # as LLVM, where a thread still compiles a kernel
    def __del__(self, end=os._exit):
        end(99)

late = Late()
sys.modules["elman.cli.frame"]._call = lambda *_: signal.raise_signal(int(sys.argv[1]))
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_what_a_signal_stops_does_not_clear_up_its_threads(name: str, code: int) -> None:
    command = [sys.executable, "-c", STOPPED, str(int(getattr(signal, name))), "eval"]
    assert subprocess.run(command, check=False).returncode == code


# --- Odd input ---


NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


@NEEDS_FULL
def test_a_full_disk_behind_standard_output(run: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        process = elman_process("sample", run, "-q", stdout=full)
    _, err = process.communicate()
    assert (process.returncode, err.count(b"\n")) == (2, 1)
    assert err.startswith(b"error: cannot write to standard output")


@pytest.mark.parametrize(("arguments", "code"), [("sample {} -q --length 9", 0), ("sample {} --length -9", 2)])
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", pytest.param("2>/dev/full", marks=NEEDS_FULL)])
def test_streams_that_are_closed_or_full(run: Path, arguments: str, code: int, streams: str) -> None:
    arguments = arguments.format(shlex.quote(str(run)))
    shell = f"{shlex.quote(sys.executable)} -m elman {arguments} {streams}"
    ended = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    message = "error: --length must be at least 0 (got -9)\n" if code and "2>" not in streams else ""
    assert (ended.returncode, ended.stderr) == (code, message)
    assert not ended.stdout.startswith("error")


@NEEDS_FULL
def test_training_continues_if_its_log_is_full(folder: Path) -> None:
    command = "elman train novel.txt --preset reference --max-updates 9 --out logged 2>/dev/full"
    shell = f"{shlex.quote(sys.executable)} -m {command}"
    ended = subprocess.run(["sh", "-c", shell], cwd=folder, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "updates" in ended.stdout


@pytest.mark.parametrize("arguments", ["eval run novel.txt", "score run novel.txt", "train --help"])
def test_a_reader_that_is_gone_ends_it_without_a_word(folder: Path, run: Path, arguments: str) -> None:
    nobody, written = os.pipe()
    os.close(nobody)
    with os.fdopen(written, "wb") as out:
        process = elman_process(*arguments.split(), stdout=out)
    assert (process.communicate()[1], process.returncode) == (b"", 0)


def test_an_interrupt_at_an_import_of_a_loaded_module_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement such as `from elman.text import Corpus` in a function that runs often, as in the prompt loop."""
    package = types.ModuleType("package_of_this_test")
    package.__path__ = []
    package.__getattr__ = lambda name: entry_point._interrupt(signal.SIGINT, sys._getframe())  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, package.__name__, package)
    with pytest.raises(KeyboardInterrupt):
        from package_of_this_test import anything  # type: ignore[import-not-found]  # noqa: F401
