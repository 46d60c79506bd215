"""Grade a submission, a Python file or a notebook: python grade.py SUBMISSION.py [--json]

The environment variable GRADE_SECRET determines the seeds of the checks; the submission does not see it. Set it to a
text of your own, and keep it until all submissions are graded.
"""

import argparse
import hashlib
import json
import os
import sys

from elman.apps.course import grade
from elman.errors import ElmanError

POINTS = {
    "initialize": 5,
    "make_windows": 10,
    "forward": 15,
    "backward": 25,
    "gradient_error": 10,
    "adagrad": 10,
    "train": 15,
    "synthesize": 10,
}
SECOND_POINTS = {"forward": 40, "backward": 60}


def main():
    """Print the points and the findings of every task."""
    parser = argparse.ArgumentParser(description="Grade a submission.")
    parser.add_argument("submission", help="a Python file or a notebook")
    parser.add_argument("--layout", choices=["rows", "columns"], default="rows", help="steps are rows, or columns")
    parser.add_argument("--cell", choices=["rnn", "gru", "lstm"], default="rnn", help="gru, lstm: second assignment")
    parser.add_argument("--json", action="store_true", help="print the grade as JSON")
    parser.add_argument("--gradescope", metavar="PATH", help="also write Gradescope's results.json")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # an exception's text may contain any character
    if "GRADE_SECRET" not in os.environ:
        print("warning: GRADE_SECRET is not set, so the seeds are known", file=sys.stderr)
    digest = hashlib.sha256(os.environ.get("GRADE_SECRET", "").encode()).digest()
    seeds = [int.from_bytes(digest[start : start + 4], "big") for start in (0, 4, 8)]
    points = POINTS if options.cell == "rnn" else SECOND_POINTS
    result = grade(options.submission, points, seeds, layout=options.layout, cell=options.cell)
    if options.gradescope:
        result.write_gradescope(options.gradescope)
    if options.json:
        print(json.dumps(result.as_dict()))
        return
    for task in result.tasks:
        print(f"{task.name:<16}{task.points:>4} of {task.of:>3}", *task.findings, sep="\n    ")
    print(f"{'points':<16}{result.as_dict()['points']:>4} of {result.as_dict()['of']:>3}")


if __name__ == "__main__":
    try:
        main()
    except (ElmanError, OSError) as error:
        sys.exit(f"error: {error}")
