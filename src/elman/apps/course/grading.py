"""Grades and measurements of a submission, whose functions run in another process."""

from __future__ import annotations

import ast
import faulthandler
import json
import math
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice, takewhile
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from elman import gradcheck
from elman.apps.course import checks
from elman.apps.course.comparison import CheckResult
from elman.apps.course.faults import FUNCTIONS, load_solution
from elman.apps.course.layout import LAYOUTS
from elman.engine import Indices
from elman.errors import ElmanError, quote, report_system_errors
from elman.network import LossAndGradients, Parameters, State
from elman.storage import real_path, require_regular_file, write_output
from elman.text import Corpus

_CHECKS = (
    checks.check_initial, checks.check_windows, checks.check_forward, checks.check_backward,
    checks.check_gradient_checker, checks.check_optimizer, checks.check_training, checks.check_sampling,
)  # fmt: skip
CHECKS: dict[str, Callable[..., CheckResult]] = dict(zip(FUNCTIONS, _CHECKS, strict=True))  # task -> its check
SOURCE = str(Path(__file__).parents[3])
_IPYTHON = re.compile(r"^[^\S\n]*(?:[%!?].*|\w[\w.]*\?\??|\w+[^\S\n]*=[^\S\n]*[%!].*)$", re.M)
"""Lines of a notebook that are not Python, such as ``%pip install``, ``files = !ls`` and ``help?``."""
MEMORY = 4 << 30  # bytes that a submission may allocate: an endless loop may append to a list


@dataclass(frozen=True)
class TaskGrade:
    """The points of one task, and what was found.

    Examples
    --------
    >>> from elman.apps.course import TaskGrade
    >>> TaskGrade("forward", 0, 15, ["forward: not written yet"]).findings
    ['forward: not written yet']
    """

    name: str
    points: float
    of: float
    findings: list[str]


@dataclass(frozen=True)
class Grade:
    """The points of a submission.

    Examples
    --------
    >>> from elman.apps.course import Grade
    >>> Grade([]).as_dict()
    {'points': 0, 'of': 0, 'tasks': []}
    """

    tasks: list[TaskGrade]

    def as_dict(self) -> dict[str, Any]:
        """Return the total points, the points of every task, and the findings."""
        points, of = sum(task.points for task in self.tasks), sum(task.of for task in self.tasks)
        return {"points": points, "of": of, "tasks": [asdict(task) for task in self.tasks]}

    def as_gradescope(self) -> dict[str, Any]:
        """Return the content of Gradescope's ``results.json``."""
        rows = [(task.name, task.points, task.of, "\n".join(task.findings)) for task in self.tasks]
        tests = [dict(zip(("name", "score", "max_score", "output"), row, strict=True)) for row in rows]
        return {"score": self.as_dict()["points"], "tests": tests}

    def write_gradescope(self, path: str | os.PathLike[str]) -> None:
        """Write `as_gradescope` to a file, atomically."""
        write_output(Path(path), json.dumps(self.as_gradescope()).encode())


def grade(
    submission: str | Path,
    points: Mapping[str, float],
    seeds: Sequence[int] = (5,),
    *,
    layout: str = "rows",
    cell: str = "rnn",
    seconds: float = 30.0,
) -> Grade:
    """Grade a submission: the points of each task whose function agrees with the reference for all seeds.

    A task is checked with the solution's functions in place of the submission's functions of other tasks, so that a
    mistake costs only its own task. If that fails, the task is checked with the submission's functions. The submission
    runs in another process, in its folder, without the environment variables that begin with GRADE. Only its imports,
    definitions, assignments and ``try`` statements are executed; statements that fail are left out. This does not
    protect from a malicious submission.

    Parameters
    ----------
    submission : path
        A Python file or a notebook.
    points : mapping
        Task -> points: initialize, make_windows, forward, backward, gradient_error, adagrad, train, synthesize.
    seeds : sequence of int
        Seeds of the checks.
    layout, cell : str
        As in `check_forward`; a GRU and an LSTM have the tasks forward and backward.
    seconds : float
        Time limit of each task.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from elman.apps.course import grade
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     submission = pathlib.Path(folder, "mine.py")
    ...     _ = submission.write_text("def make_windows(indices, T):\\n    return []\\n")
    ...     print(grade(submission, {"make_windows": 10}).tasks[0].findings)
    ['x: the number or the length of the windows is wrong: floor((N - 1) / T) windows of T characters']
    """
    if unknown := points.keys() - CHECKS.keys():
        raise ElmanError(f"unknown task {quote(min(unknown))}; tasks are {', '.join(CHECKS)}")
    options = {"seeds": [*seeds], "layout": layout, "cell": cell}
    results = run_tasks(Path(submission), "check", [*points], seconds, **options)
    findings = {task: [found] if isinstance(found, str) else found for task, found in results.items()}
    return Grade([TaskGrade(task, 0 if findings[task] else of, of, findings[task]) for task, of in points.items()])


def run_tasks(submission: Path, function: str, tasks: Sequence[str], seconds: float, **options: Any) -> dict[str, Any]:
    """Return the result of `check_task` or `measure_task` for each task of a submission, or why there is none."""
    source, path, results = read_submission(submission), real_path(submission), dict[str, Any]()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADE")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [SOURCE, environment.get("PYTHONPATH")]))
    while left := [task for task in tasks if task not in results]:
        order = json.dumps([function, source, left, seconds, options])
        code = "from elman.apps.course.grading import _run_tasks; _run_tasks()"
        # Not a pipe, which a process that the submission starts would keep open.
        with TemporaryFile("w+", encoding="utf-8") as found:
            with subprocess.Popen(
                [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=found, stderr=subprocess.DEVNULL,
                encoding="utf-8", cwd=path.parent, env=environment, start_new_session=True,
            ) as process:  # fmt: skip
                try:
                    process.communicate(order)
                finally:  # with the processes that the submission has started
                    with suppress(AttributeError, OSError):  # Windows has no groups of processes
                        os.killpg(process.pid, signal.SIGKILL)
                    process.kill()
            found.seek(0)
            with suppress(TypeError, ValueError):  # of a line that the submission wrote
                for line in found:
                    results |= json.loads(line)
        if left[0] not in results:
            results[left[0]] = f"{left[0]}: takes more than {seconds:g} seconds, or ends the process"
    return results


def read_submission(path: Path) -> str:
    """Return the source of a Python file, or of the cells of a notebook that are Python."""
    with report_system_errors(f"read {quote(path)}", errors=(OSError, ValueError)):  # a zero byte in the name
        text = require_regular_file(path).read_bytes().decode("utf-8-sig", "replace")
    if "\0" in text:
        raise ElmanError(f"{quote(path)} is not UTF-8: save it in this encoding")
    if path.suffix.lower() != ".ipynb":
        return text
    try:
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise ElmanError(f"{quote(path)} cannot be read as a notebook ({error})") from error
    return "\n\n".join(map(_read_cell, cells))


def _read_cell(cell: str) -> str:
    """Return the Python of a cell, if necessary without the commands of IPython; empty if it is no Python."""
    for source in (cell, _IPYTHON.sub("", cell)):
        with suppress(MemoryError, RecursionError, SyntaxError, ValueError):
            ast.parse(source)
            return source
    return ""


def load_submission(source: str) -> dict[str, Any]:
    """Return the names that a submission imports, defines and assigns; its other statements are left out."""
    names: dict[str, Any] = {"__name__": "submission", "__file__": "submission.py"}
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Try)
    for node in ast.parse(source).body:
        if isinstance(node, kinds):
            try:
                exec(compile(ast.Module([node], []), "submission.py", "exec"), names)
            except (Exception, SystemExit) as error:
                names.setdefault("__errors__", []).append(f"line {node.lineno} of the submission fails: {error}")
    return names


def check_task(source: str, task: str, seeds: Sequence[int], layout: str, cell: str) -> list[str]:
    """Return what is wrong with a task of a submission, or nothing."""
    found = list[str]()
    for isolated in (True, False):
        names = load_submission(source)
        if not callable(function := names.get(task)):
            return [f"{task}: there is no function of this name", *names.get("__errors__", [])]
        if isolated:
            form, solution = LAYOUTS[layout][0], load_solution(task, cell=cell)
            others = {name for functions in FUNCTIONS.values() for name in functions} - {*FUNCTIONS[task]}
            names.update({name: form.adapt(name, solution[name], reverse=True) for name in others & solution.keys()})
        options = {"layout": layout} | ({"cell": cell} if task in ("forward", "backward") else {})
        for seed in seeds:
            findings = [str(finding) for finding in CHECKS[task](function, seed=seed, **options).findings]
            if not findings and task == "forward" and callable(step := names.get("step")):
                findings = _check_step(step, seed, layout, cell)
            if findings:
                found = found or findings
                break
        else:
            return []
    return found


def _check_step(step: Callable[..., Any], seed: int, layout: str, cell: str) -> list[str]:
    """Return what is wrong with the step of a submission; its forward pass may not use it."""
    forms = (form.adapt("step", step) for form in LAYOUTS[layout])
    results = [checks.check_forward(partial(_run_steps, form), seed=seed, cell=cell) for form in forms]
    called = [result for result in results if not all(map(math.isnan, result.errors.values()))]  # arguments may differ
    if not called or any(result.passed for result in called):
        return []
    return [f"step: {finding}" for finding in called[0].findings]


def _run_steps(step: Callable[..., Any], parameters: Any, h0: Any, x: Any, y: Any) -> tuple[float, Any, Any]:
    """Return the loss, the states and the probabilities of a forward pass, step by step."""
    h, p = [h0], []
    for index in x:
        new, of_step = step(parameters, h[-1], index)
        h.append(new)
        p.append(of_step)
    return -sum(np.log(row[index]) for row, index in zip(p, y, strict=True)), np.array(h), np.array(p)


def measure_task(source: str, task: str, text: str, m: int, T: int, eta: float, seed: int, updates: int) -> Any:
    """Return the relative errors of three gradient checks (``backward``) or the losses (``train``); or why not."""
    names, corpus, failure = load_submission(source), Corpus.from_text(text), ""
    for form in chain(*LAYOUTS.values()):
        own = {name: checks.guard(name, form.adapt(name, each)) for name, each in names.items() if callable(each)}
        try:
            if task == "backward":
                return _measure_gradients(own["forward"], own["backward"], corpus, seed)
            parameters = own["initialize"](len(corpus.alphabet), m, seed)
            losses = islice(own["train"](parameters, corpus.indices.astype(int), T, updates, eta), updates)
            return [*takewhile(math.isfinite, map(float, losses))] or "train: the first loss is missing or not finite"
        except Exception as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else f"cannot be measured: {error}"
            failure = failure or str(getattr(error, "finding", f"{task}: {what}"))
    return failure


def _measure_gradients(forward: checks.Function, backward: checks.Function, corpus: Corpus, seed: int) -> Any:
    def compute(parameters: Parameters, state: State, x: Indices, y: Indices) -> LossAndGradients:
        arrays, window = dict(parameters), (x.astype(int), y.astype(int))
        _, h, p = forward(arrays, state.recurrent, *window)
        gradients = backward(arrays, *window, h, p)
        return LossAndGradients(0.0, gradients, gradients.get("h0", np.nan * state.recurrent), state)

    errors = [check.relative_error for check in gradcheck(corpus, seed=seed, loss_and_gradients=compute)]
    return [{name: error for name, error in each.items() if name != "h0" or math.isfinite(error)} for each in errors]


def _run_tasks() -> None:
    """Run the tasks that standard input requests, and write a line per task as soon as its result is known."""
    # The process is ended when a task takes too long.
    (name, source, tasks, seconds, options), stdout = json.load(sys.stdin), os.fdopen(os.dup(1), "w", encoding="utf-8")
    functions: dict[str, Callable[..., Any]] = {"check": check_task, "measure": measure_task}
    os.dup2(null := os.open(os.devnull, os.O_WRONLY), 1)
    sys.path.append(str(Path.cwd()))
    warnings.simplefilter("ignore")
    with suppress(ImportError, ValueError):  # Windows has no limits, or there is a lower one
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    for task in tasks:
        # Unlike a thread of Python, this also ends a loop in C, which keeps the interpreter's lock.
        faulthandler.dump_traceback_later(seconds, file=null, exit=True)
        with Path(os.devnull).open("w") as sink, redirect_stdout(sink), redirect_stderr(sink):  # which a task may close
            try:
                result = functions[name](source, task, **options)
            except SyntaxError as error:
                result = f"{task}: the submission is no Python: {error.msg} in line {error.lineno}"
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({task: result}), file=stdout, flush=True)
    os._exit(0)  # its threads may not end
