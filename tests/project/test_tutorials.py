"""The code of the tutorials in Python runs from top to bottom and prints what the pages say."""

import contextlib
import io
import math
import re
from pathlib import Path

import pytest

from support.state import ROOT

PAGES = [ROOT / "docs" / "tutorials" / f"{name}.md" for name in ("from_recurrence_to_network", "lab")]
BLOCKS = re.compile(
    r"^```python\n(.*?)^```\n(?:\n(<!-- varies -->\n)?^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
"""Code; whether the numbers of its output vary from machine to machine, as those of chaotic training; the output."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
ROUNDING = 1e-8
"""A smaller number is a rounding error, which differs from machine to machine."""


def agree(printed: str, expected: str, varies: bool = False) -> bool:
    """Return whether two outputs are the same but for the last digits of their numbers, or for all where they vary."""
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, expected)]
    words = [NUMBER.sub("#", text).split() for text in (printed, expected)]
    return words[0] == words[1] and all(
        varies or math.isclose(a, b, rel_tol=0.05) or max(abs(a), abs(b)) < ROUNDING
        for a, b in zip(*numbers, strict=True)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_prints_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks, names = BLOCKS.findall(page.read_text("utf-8")), {"__name__": page.stem}
    assert sum(bool(expected) for *_, expected in blocks) > 5
    for source, varies, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, page.name, "exec"), names)
        assert not expected or agree(printed.getvalue(), expected, bool(varies)), f"{source}\n{printed.getvalue()}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_tutorial_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("W 8e-17\n", "W 1e-16\n", True),
        ("loss 27.7544", "loss 27.7545", True),
        ("W 8e-02", "W 8e-17", False),
        ("loss 27", "loss 30", False),
        ("True", "False", False),
        ("True\nTrue", "True", False),
    ],
)
def test_outputs_are_compared(printed: str, expected: str, same: bool) -> None:
    assert agree(printed, expected) is same
