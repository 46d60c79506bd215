"""The course kit: the assignment, made from its solution, and the files for teachers; ``elman course`` writes it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elman.apps.course.faults import FUNCTIONS, KIT, SECOND, read_solution
from elman.errors import ElmanError, quote, report_system_errors
from elman.storage import read_regular_file, replace_files

BLANK = "    raise NotImplementedError\n"
STUDENT = ("handout.md", "unrolled.svg", "assignment.py", "assignment.ipynb")  # the files that students get


def write_course(folder: Path, *, student: bool = False) -> list[Path]:
    """Write the files of the kit, or the files for students, into a folder; return their paths."""
    # If a file of the same name has other contents, such as a student's solution, an `ElmanError` is raised.
    assignment = make_assignment((KIT / "solution.py").read_text("utf-8"))
    texts = {path.name: path.read_text("utf-8") for path in KIT.iterdir() if path.is_file()}
    texts |= {"assignment.py": assignment, "assignment.ipynb": make_notebook(texts["handout.md"], assignment)}
    for cell in SECOND:  # the second assignment, which contains the loops over the steps
        given = "".join(f"\n\n{read_solution()[name]}\n" for name in ("forward", "gradient_error"))
        texts[f"solution_{cell}.py"] += given
        texts[f"assignment_{cell}.py"] = make_assignment(texts[f"solution_{cell}.py"].removesuffix(given)) + given
    files = {folder / name: texts[name].encode() for name in sorted(texts) if not student or name in STUDENT}
    with report_system_errors(f"write {quote(folder)}"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in files.items():
            if path.is_symlink() or (path.exists() and read_regular_file(path) != data):
                raise ElmanError(f"{quote(path)} already exists: move it, or write into another folder")
    replace_files(files, place="folder")
    return [*files]


def make_assignment(solution: str) -> str:
    """Return a solution with blanks in place of the bodies of the functions that students write; docstrings stay."""
    lines = solution.replace(": the solution", ": the assignment").splitlines(keepends=True)
    blank = {name for functions in FUNCTIONS.values() for name in functions}
    for node in reversed(ast.parse(solution).body):
        if isinstance(node, ast.FunctionDef) and node.name in blank:
            lines[node.body[1].lineno - 1 : node.end_lineno] = [BLANK]
    return "".join(lines)


def make_notebook(handout: str, assignment: str) -> str:
    """Return a notebook of the handout, with the code of the assignment before the checks in each task's section."""
    code, _, _ = assignment.partition("\n\ndef main(")
    given, *tasks = re.split(r"^# (Task \d+): .*\n", code, flags=re.M)
    chunks = {"Start": given.partition('"""\n\n')[2]} | dict(zip(tasks[::2], tasks[1::2], strict=True))
    cells = list[tuple[str, str]]()
    for section in re.split(r"^(?=## )", handout, flags=re.M):
        title = re.match(r"## (Task \d+|Start)", section)
        parts = re.split(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", section, flags=re.M | re.S)
        for n, part in enumerate(parts):
            if n == 1 and title:
                cells.append(("code", chunks[title[1]]))
            if n % 2:  # a notebook shows the result of a check
                cells.append(("code", re.sub(r"print\((check_\w+\(\w+\))(\.passed)?\)", r"\1", part)))
            elif part.strip():
                cells.append(("markdown", part))
    return write_notebook(cells)


def write_notebook(cells: Iterable[tuple[str, str]]) -> str:
    """Return a notebook of cells, each the kind and the source."""
    written = list[dict[str, Any]]()
    for n, (kind, source) in enumerate(cells):
        outputs: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
        written.append({"cell_type": kind, "id": f"cell-{n}", "metadata": {}, "source": source.strip()} | outputs)
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
