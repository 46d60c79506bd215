"""``elman course``."""

from __future__ import annotations

from pathlib import Path

from elman.cli import Flag, Json, print_results

GROUP = "Study"


def course(folder: Path, *, student: Flag = False, as_json: Json = False) -> int:
    """Write an assignment on recurrent networks into a folder: the handout, the solution, and the grader.

    Parameters
    ----------
    folder
        Folder to write to; an existing file with other content is an error.
    student
        Write only the files for students: the handout, and the assignment as a file and as a notebook.
    """
    from elman.apps.course.course import write_course

    paths = write_course(folder, student=student)
    print_results({"files": [str(path) for path in paths]}, as_json, lambda results: print(*results["files"], sep="\n"))
    return 0
