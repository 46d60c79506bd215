"""The course kit: its files, the grades of right, blank and wrong submissions, and what one mistake costs."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from elman.apps.course import grade
from elman.apps.course.faults import FUNCTIONS, KIT
from elman.apps.course.grading import CHECKS, check_task, run_tasks
from elman.errors import ElmanError
from support.cli import Command
from support.state import ROOT

nbformat = pytest.importorskip("nbformat")
SOLUTION = (KIT / "solution.py").read_text("utf-8")
COLUMNS = (ROOT / "tests" / "support" / "own_columns.py").read_text("utf-8")
BEGIN = "    windows = []\n"
STUDENT = ["assignment.ipynb", "assignment.py", "handout.md", "unrolled.svg"]


@pytest.fixture
def kit(tmp_path: Path, command: Command) -> Path:
    ended = command("course", tmp_path / "kit", "--json")
    assert ended.code == 0
    assert sorted(json.loads(ended.out)["files"]) == sorted(str(path) for path in (tmp_path / "kit").iterdir())
    return tmp_path / "kit"


def run_grader(kit: Path, submission: str, *options: str, secret: str = "a secret") -> dict[str, Any]:
    environment = os.environ | {"GRADE_SECRET": secret}
    line = [sys.executable, "grade.py", submission, "--json", *options]
    ended = subprocess.run(line, cwd=kit, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def submit(folder: Path, source: str) -> dict[str, list[str]]:
    """Return the findings of the tasks of a submission that have any."""
    path = folder / "submission.py"
    path.write_text(source, "utf-8")
    return {
        task.name: task.findings for task in grade(path, dict.fromkeys(CHECKS, 1), seconds=5).tasks if task.findings
    }


def test_students_get_no_solutions(tmp_path: Path, command: Command) -> None:
    command("course", tmp_path, "--student")
    assert sorted(path.name for path in tmp_path.iterdir()) == STUDENT
    for path in tmp_path.iterdir():
        text = path.read_text("utf-8")
        assert not any(line in text for line in ("W.T @", "np.tanh(a)", "gradient**2", "1e-4, {}", "states[T]"))
    assert (tmp_path / "assignment.py").read_text("utf-8").count("raise NotImplementedError") == 9
    checked = subprocess.run(
        [sys.executable, "assignment.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert checked.stdout == "initialize: not yet\n    initialize: not written yet\n"
    notebook = nbformat.read(tmp_path / "assignment.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for functions, check in zip(FUNCTIONS.values(), CHECKS.values(), strict=True):
        place = next(n for n, source in enumerate(code) if f"def {functions[-1]}(" in source)
        assert code[place + 1] == f"{check.__name__}({functions[-1]})"


@pytest.mark.parametrize(
    ("submission", "options", "points"),
    [
        ("solution.py", [], 100),
        ("assignment.py", [], 0),
        ("assignment.ipynb", [], 0),
        ("solution_gru.py", ["--cell", "gru"], 100),
        ("assignment_gru.py", ["--cell", "gru"], 0),
        ("solution_lstm.py", ["--cell", "lstm"], 100),
        ("assignment_lstm.py", ["--cell", "lstm"], 0),
    ],
)
def test_a_solution_has_all_points_and_a_blank_none(
    kit: Path, submission: str, options: list[str], points: int
) -> None:
    result = run_grader(kit, submission, *options)
    assert (result["points"], result["of"]) == (points, 100)
    assert {*result["tasks"][0]} == {"name", "points", "of", "findings"}
    assert len((kit / "grade.py").read_text("utf-8").splitlines()) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100, 10))
def test_the_grade_does_not_depend_on_the_secret(kit: Path, first: int) -> None:
    for n in range(first, first + 10):
        points = [run_grader(kit, f"{name}.py", secret=f"secret {n}")["points"] for name in ("solution", "assignment")]
        assert points == [100, 0], n


def test_columns_and_gradescope(kit: Path) -> None:
    (kit / "columns.py").write_text(COLUMNS, "utf-8")
    options = "--layout", "columns", "--gradescope", "results.json"
    assert run_grader(kit, "columns.py", *options)["points"] == 100
    results = json.loads((kit / "results.json").read_text("utf-8"))
    assert results["score"] == sum(test["max_score"] for test in results["tests"]) == 100
    wrong = COLUMNS.replace('parameters["W"].T @ dA', 'parameters["W"] @ dA')
    (kit / "columns.py").write_text(wrong, "utf-8")
    result = run_grader(kit, "columns.py", *options)
    assert [task["name"] for task in result["tasks"] if not task["points"]] == ["backward"]


def test_any_finding_is_printed(kit: Path) -> None:
    (kit / "surrogate.py").write_text('def make_windows(indices, T):\n    raise Exception("\\ud800 bad")\n', "utf-8")
    command = [sys.executable, "grade.py", "surrogate.py"]
    environment = os.environ | {"GRADE_SECRET": "x", "PYTHONIOENCODING": "ascii"}
    printed = subprocess.run(command, cwd=kit, env=environment, capture_output=True, check=True, encoding="ascii")
    assert "Exception: \\ud800 bad" in printed.stdout
    assert printed.stdout.endswith(" of 100\n")


def read_mutants() -> list[Any]:
    names: dict[str, Any] = {"__name__": "mutants"}
    exec((KIT / "mutants.py").read_text("utf-8"), names)
    mutants: list[Any] = names["MUTANTS"]
    return mutants


MUTANTS = read_mutants()
WRITE_EVERYWHERE = """
    import os
    for n in range(99):
        try:
            os.write(n, b"{\\n")
        except OSError:
            pass
"""
FIRST = {task: old for task, old, *_ in reversed(MUTANTS)}


@pytest.mark.parametrize(("task", "old", "new", "expected"), MUTANTS)
def test_a_planted_mistake_is_named_and_costs_its_own_task(task: str, old: str, new: str, expected: str) -> None:
    """The first mistake of a function shows whether it costs the three tasks that call the functions of others."""
    assert old in SOLUTION
    source, others = SOLUTION.replace(old, new), {"gradient_error", "train", "synthesize"}
    tasks = {task} | (others if FIRST[task] == old else set())
    findings = {name: check_task(source, name, [5], "rows", "rnn") for name in tasks}
    assert [name for name in tasks if findings[name]] == [task]
    assert any(expected in finding for finding in findings[task]), findings[task]


@pytest.mark.parametrize(
    ("old", "new", "task", "finding"),
    [
        (BEGIN, "    sum(range(10**12))\n", "make_windows", "takes more than 5 seconds, or ends the process"),
        (BEGIN, "    [0] * 10**9\n", "make_windows", "MemoryError"),
        (BEGIN, WRITE_EVERYWHERE + BEGIN, "make_windows", "or ends the process"),
        (BEGIN, "    import os; os._exit(0)\n", "make_windows", "takes more than 5 seconds, or ends the process"),
        (BEGIN, "    raise SystemExit\n", "make_windows", "raises SystemExit"),
        (BEGIN, "    print('{}'); import sys; sys.stdout.close(); 1 / 0\n", "make_windows", "ZeroDivisionError"),
        (BEGIN, "    import os; assert 'GRADE_SECRET' in os.environ\n", "make_windows", "AssertionError"),
        (BEGIN, "    import threading as t; t.Thread(target=t.Event().wait).start()\n" + BEGIN, "", ""),
        (BEGIN, "    import subprocess; subprocess.Popen(['sleep', '9'], close_fds=False)\n" + BEGIN, "", ""),
        ("def make_windows(", "def windows(", "make_windows", "there is no function of this name"),
        ("def encode(", "1 / 0\nx = 1 / 0\n\ndef encode(", "", ""),
        ("def adagrad(", "initialize(10**5, 10**5, 1)\nadagrad_calls = []\ndef adagrad(", "", ""),
    ],
)  # fmt: skip
def test_a_failure_costs_its_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, task: str, finding: str
) -> None:
    monkeypatch.setenv("GRADE_SECRET", "known")
    findings = submit(tmp_path, SOLUTION.replace(old, new))
    assert [*findings] == ([task] if task else [])
    assert finding in str(findings)


def test_a_process_that_a_submission_starts_ends_with_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os\nif not os.fork():\n    open({str(pid)!r}, 'w').write(str(os.getpid()))\n    while True: pass\n"
    assert submit(tmp_path, code + SOLUTION) == {}
    for _ in range(100):  # until init has read its exit code
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid.read_text()}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.1)
                continue
        return
    raise AssertionError


@pytest.mark.parametrize(
    ("task", "old", "new", "finding"),
    [
        ("backward", "    W, V = ", "    raise NotImplementedError\n    W, V = ", "backward: not written yet"),
        ("backward", "def forward(", "def forwards(", "backward: 'forward' is missing"),
        ("train", "    return losses", "    return [np.nan]", "train: the first loss is missing or not finite"),
        ("train", "    return losses", "    import itertools; return itertools.repeat(1.0)", [1.0] * 9),
        (
            "train",
            "import numpy as np",
            "import numpy as",
            "train: the submission is no Python: invalid syntax in line 3",
        ),
        ("train", "    return losses", "    while True: pass", "train: takes more than 5 seconds, or ends the process"),
    ],
)
def test_a_submission_that_cannot_be_measured_says_why(
    tmp_path: Path, task: str, old: str, new: str, finding: str | list[float]
) -> None:
    (tmp_path / "own.py").write_text(SOLUTION.replace(old, new), "utf-8")
    sizes = {"text": "the cat sat on the mat. " * 9, "m": 4, "T": 5, "eta": 0.1, "seed": 1, "updates": 9}
    assert run_tasks(tmp_path / "own.py", "measure", [task], 5, **sizes) == {task: finding}


def test_the_message_that_the_readme_shows_is_the_graders(tmp_path: Path) -> None:
    shown = re.search(r"db, dW, dU, dh0: [^`…\n]*", (ROOT / "README.md").read_text("utf-8"))
    assert shown
    findings = submit(tmp_path, SOLUTION.replace("dh_next = W.T @ da", "pass"))
    assert [*findings] == ["backward"]
    assert findings["backward"][0].startswith(shown[0].strip())


def test_helpers_of_a_submission_may_be_different(tmp_path: Path) -> None:
    """Where the reference's functions do not fit, the submission's own are called."""
    source = SOLUTION.replace("step(parameters, h, x)", "step(h, x, parameters)")
    source = source.replace("step(parameters, h[t], x[t])", "step(h[t], x[t], parameters)")
    assert submit(tmp_path, source) == {}


def test_a_step_that_the_forward_pass_does_not_call_is_checked(tmp_path: Path) -> None:
    source = SOLUTION.replace("def step(", "def own_step(")
    source = source.replace("step(parameters, h[t]", "own_step(parameters, h[t]")
    source += "\n\ndef step(parameters, h, x):\n    return own_step({}, h, x)\n"
    assert submit(tmp_path, source.replace("own_step({}", "own_step(parameters")) == {}
    without_b = source.replace("own_step({}", 'own_step(parameters | {"b": 0 * h}')
    assert "step: h: b is missing" in submit(tmp_path, without_b)["forward"][0]


def test_a_submission_that_is_no_python(tmp_path: Path) -> None:
    findings = submit(tmp_path, SOLUTION + "\nreturn return\n")
    assert [*findings] == [*CHECKS]
    assert "no Python: invalid syntax in line" in str(findings)
    sources = ("%pip\n  ! x", "?", "\ud800", "\n" * 100_000, SOLUTION)  # a slow search would take hours
    cells = [nbformat.v4.new_code_cell(each) for each in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    (tmp_path / "own.ipynb").write_text(json.dumps(notebook), "utf-8")
    assert grade(tmp_path / "own.ipynb", {"forward": 1, "train": 2}).as_dict()["points"] == 3
    with pytest.raises(ElmanError, match="unknown task 'dance'; tasks are initialize"):
        grade(tmp_path / "own.ipynb", {"dance": 1})


@pytest.mark.parametrize("lines", ["%pip list\n!ls\nfiles = !ls\nelman.train?\n?elman", "value = (7\n    % 4)"])
def test_lines_of_ipython_in_a_notebook(tmp_path: Path, lines: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"{lines}\n{SOLUTION}")])
    (tmp_path / "own.ipynb").write_text(json.dumps(notebook), "utf-8")
    assert grade(tmp_path / "own.ipynb", {"forward": 1, "train": 2}).as_dict()["points"] == 3


@pytest.mark.parametrize("submission", ["missing.py", "list.ipynb", "utf16.py"])
def test_a_submission_that_cannot_be_read_is_an_error_of_one_line(kit: Path, submission: str) -> None:
    (kit / "list.ipynb").write_text("[]")
    (kit / "utf16.py").write_text(SOLUTION, "utf-16")
    ended = subprocess.run([sys.executable, "grade.py", submission], cwd=kit, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    _, error = ended.stderr.splitlines()
    assert error.startswith("error: ")


def test_a_full_disk_is_an_error_of_the_file_and_nothing_is_written(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    remedy = "free disk space or choose another folder"
    assert (
        f"cannot write '{tmp_path / 'assignment.ipynb'}' (No space left on device): {remedy}"
        in command("course", tmp_path).err
    )
    assert list(tmp_path.iterdir()) == []


def test_the_work_of_a_student_is_not_replaced(tmp_path: Path, command: Command) -> None:
    for _ in range(2):  # what is there already is no error
        assert command("course", tmp_path, "--student").code == 0
    own = tmp_path / "assignment.py"
    own.write_text("mine = 1\n", "utf-8")
    (tmp_path / "handout.md").unlink()
    result = command("course", tmp_path, "--student")
    assert (result.code, result.err) == (2, f"error: '{own}' already exists: move it, or write into another folder\n")
    assert own.read_text("utf-8") == "mine = 1\n"
    assert not (tmp_path / "handout.md").exists()
