"""`elman.train`, and its keyword arguments that are settings, for type checkers, ``help()`` and completion."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import numpy as np

from elman.config import Config, check_settings, choices_of, help_of, list_types, make_config, replace_settings
from elman.engine import COMPILING, watch_compilation
from elman.engine.processes import current_process, run_on_first_process
from elman.errors import ElmanError, NonFiniteLossError, checks_types, list_strings, option, quote
from elman.machine import HANGUP
from elman.options import Option, document_options
from elman.recipe import DEFAULT_PRESET, name_preset
from elman.runs.directory import PLOT
from elman.runs.loggers import logger_help
from elman.runs.texts import Text
from elman.runs.writer import RunWriter
from elman.storage import is_directory
from elman.training.callbacks import DeferredErrors, InterruptCallback, TrainingCallback, list_callbacks
from elman.training.limits import STOPWATCH, Stopwatch
from elman.training.loop import start_run, train_run
from elman.training.records import save_plot
from elman.training.run import History, Run

if TYPE_CHECKING:
    from elman.settings import Settings
    from elman.training.pretrained import InitialWeights, ModelSource

OTHER_ARGUMENTS = (
    "out", "preset", "config", "init_from", "initial", "resume", "overwrite", "progress", "log", "callback",
    "on_update",
)  # fmt: skip
"""Arguments of `elman.train` that an error may suggest, in addition to the settings."""


def list_training_options() -> tuple[Option, ...]:
    """Return the settings with their help, and their defaults in the preset that `elman.train` starts from."""
    defaults = vars(make_config(DEFAULT_PRESET)).items()
    return tuple(Option(name, list_types()[name], value, help_of(name), choices_of(name)) for name, value in defaults)


@document_options(list_training_options())
@checks_types
def train(
    corpus: Text | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    config: Config | None = None,
    init_from: ModelSource | None = None,
    initial: InitialWeights | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    log: Sequence[str] = (),
    callback: TrainingCallback | None = None,
    on_update: Callable[[Run], object] | None = None,
    **options: Unpack[Settings],
) -> Run:
    """Train a character-level model on a text.

    Parameters
    ----------
    corpus : str, path, open file, list of these, or Corpus
        A file, plain or compressed, a directory, a glob pattern, ``-`` for standard input, a built-in name
        (``python-docs``, ``shakespeare``), or a loaded text; see `elman.text.read_corpus`. For a string that is the
        text itself use `Corpus.from_text`. By default, a resumed run reads its own text again.
    out : path, optional
        The run directory to write. Without one, nothing is written and the run exists in memory only.
    preset : str
        Settings to start from, which `options` override. The default, also of ``elman train``, is ``minute``, which
        holds out the last tenth of the text for validation; its settings are the defaults below. ``reference`` is the
        reference experiment. All presets except ``reference`` and ``steady`` look at the text first: a list, a log or
        records are trained on as independent lines, see `elman.text.kinds`. If a text is too short for a preset, batch
        size, sequence length and epochs are lowered. Settings in `options` are not changed. A resumed run keeps its
        preset.
    config : Config, optional
        Settings to start from instead of a preset, which `options` override.
    init_from : path, Run or Model, optional
        Fine-tune: start with the weights of this model, which may be a run directory, a file of weights, a run, or a
        model such as `elman.import_` returns. Cell, hidden size and layers are the model's.
    initial : dict of arrays, path or Parameters, optional
        Initial weights in place of random ones, to compare the losses with another program's: an .npz file that
        ``numpy.savez`` wrote, or arrays by name. The arrays of the vanilla network are ``U`` (m, K), ``W`` (m, m),
        ``V`` (K, m), ``b`` (m,) or (m, 1), and ``c`` (K,) or (K, 1), with the K characters in the order of their first
        occurrence in the text. The arrays determine the hidden size.
    resume : bool
        Resume the run in `out` with its settings. Only limits, `patience`, `engine`, `device` and `mixed_precision` may
        change.
    overwrite : bool
        Replace the run in `out`, if there is one, instead of refusing. It is replaced once the settings and the text
        are found to be valid, and other files in `out` are left alone.
    progress : bool, optional
        Whether to show progress: a bar on a terminal and in a notebook, elsewhere a line on standard error every few
        seconds and at every validation. By default, it is shown on a terminal and in a notebook only.
    log : sequence of str
        The loggers to write to in addition to ``metrics.csv`` and ``samples.jsonl``; a resumed run keeps its loggers.

        LOGGERS
    callback : TrainingCallback, optional
        Notified of progress, samples and warnings; may stop the run. If it raises, the run is saved first.
    on_update : callable, optional
        Called with the run after updates, several times per second; a true value stops the run.
    OPTIONS

    Returns
    -------
    Run
        Its `stopped` says why training ended. An interrupt (Ctrl-C, the stop button of a notebook) ends it as a limit
        does: the run is saved, and returned with ``stopped == "interrupted"``. A second one raises KeyboardInterrupt.

    Raises
    ------
    ElmanError
        If an option, the text or the directory is invalid, another training run writes to it, or a loss is not finite
        (the last good checkpoint is kept); the message says what to do.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> run = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy")
    >>> run.state.update, run.stopped
    (100, 'max_updates')
    """
    stopwatch = STOPWATCH.get() or Stopwatch()
    settings, log = collect_settings(preset, config, options), list_strings("log", log)
    if preset is not None or config is not None:
        preset = "" if preset is None else name_preset(preset)
    check_arguments(corpus, out, log, resume=resume, overwrite=overwrite, init_from=init_from, initial=initial)
    callbacks, directory = list_callbacks(callback, on_update), None
    if out is not None:
        directory = RunWriter(Path(out), log, resume=resume, overwrite=overwrite)
    with directory or nullcontext(), _open_display(progress) as display:
        if resume and directory is not None:
            from elman.training.resume import resume_run

            run = resume_run(directory, corpus, preset, settings)
        else:
            announce = partial(display.on_notice, COMPILING)
            run = start_run(directory, corpus, preset, settings, init_from, initial, announce)
        share_run(run)
        error = _notify_and_train(run, [*callbacks, display], stopwatch)
    if error is not None:
        raise error
    return run


def _notify_and_train(run: Run, callbacks: Sequence[TrainingCallback], stopwatch: Stopwatch) -> BaseException | None:
    """Train a run unless it was finished; return the exception that a callback raised."""
    interrupt = InterruptCallback()
    deferring = DeferredErrors(*callbacks, interrupt)
    for notice in run.notices:
        deferring.on_notice(notice)
    if not run.was_finished:
        announcing = watch_compilation(lambda: deferring.on_notice(COMPILING))
        # Numbers that overflow are found and reported by the health checks; NumPy need not warn as well.
        with np.errstate(over="ignore", invalid="ignore"), announcing, interrupt:
            train_run(run, deferring, stopwatch)
    elif run.directory is not None and not (run.directory.path / PLOT).exists():  # it was killed before it plotted
        save_plot(run, deferring)
    return deferring.error


if train.__doc__:  # Python removes docstrings under -OO
    train.__doc__ = train.__doc__.replace("LOGGERS", logger_help().partition("\n\n")[2].replace("\n", f"\n{8 * ' '}"))


@contextmanager
def _open_display(progress: bool | None) -> Iterator[TrainingCallback]:
    """Yield the display of the progress, which ends with the block; without one, Rich is not imported."""
    if progress is False:
        yield TrainingCallback()
        return
    from elman.training.progress import StderrConsole, create_display

    with closing(create_display(progress, StderrConsole())) as display:
        yield display


# --- One run in the several processes of torchrun, which run the same loop on the run of process 0 ---


def share_run(run: Run) -> None:
    """Send a run to the other processes, without its directory: process 0 alone reads, shows progress and writes."""
    if current_process().size > 1:
        history = History(run.config, run.metrics[:], run.samples[:])
        run_on_first_process(lambda: replace(run, directory=None, history=history))


def follow() -> int:
    """Train the run of process 0 with its times, validation losses and decision to stop; return the exit code."""
    run = run_on_first_process(lambda: cast(Run, None))  # the function is not called in this process
    for number in {signal.SIGINT, signal.SIGTERM, HANGUP or signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)  # process 0 decides
    if not run.was_finished:
        with suppress(NonFiniteLossError):  # process 0 reports it
            train_run(run, TrainingCallback(), Stopwatch())
    return 0


# --- The arguments ---


def collect_settings(preset: str | None, config: Config | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that override a preset: all of `config`, if it is given, and the options."""
    if "like" in options:
        raise ElmanError("unknown setting 'like'; pass config=elman.open_run(RUN).config")
    settings = check_settings(options, OTHER_ARGUMENTS)
    if config is None:
        return settings
    if preset is not None:
        raise ElmanError(f"cannot combine config with {option.preset:{preset}}: a configuration has every setting")
    if not isinstance(config, Config):
        raise ElmanError(f"config must be an elman.Config (got {type(config).__name__}): pass settings as arguments")
    return replace_settings(asdict(config), settings)


def check_arguments(
    corpus: Any,
    out: str | os.PathLike[str] | None,
    log: Sequence[str],
    *,
    resume: bool,
    overwrite: bool,
    init_from: object,
    initial: object,
) -> None:
    """Check that the arguments of `elman.train` agree, except the settings."""
    resumes, overwrites = f"{option.resume:True}", f"{option.overwrite:True}"
    for name, value in ((option.init_from, init_from), ("initial", initial)):
        if resume and value is not None:
            raise ElmanError(f"cannot combine {name} with {resumes}: a resumed run continues with its own weights")
    if init_from is not None and initial is not None:
        raise ElmanError(f"cannot combine initial with {option.init_from}: each sets the initial weights")
    for name, is_passed in ((resumes, resume), (option.log, bool(log)), (overwrites, overwrite)):
        if out is None and is_passed:
            raise ElmanError(f"{name} requires {option.out}, the directory of the run")
    if overwrite and resume:
        raise ElmanError(f"{overwrites} replaces the run that {resumes} continues: pass only one of them")
    if out is None:
        return
    if not os.fspath(out).strip():
        raise ElmanError(f"{option.out} must not be empty (got {os.fspath(out)!r})")
    for source in [] if resume else corpus if isinstance(corpus, list | tuple) else [corpus]:
        with suppress(OSError, ValueError, TypeError):  # one of them does not exist, or is no path
            if is_directory(out) and Path(source).samefile(out):
                remedy = f"choose {quote(Path(out) / 'run')}"
                raise ElmanError(f"{option.out} must not be the directory of the text (got {quote(out)}): {remedy}")
