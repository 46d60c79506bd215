"""The script that compares the figures of README and docs with stored results finds those that have none."""

import runpy
import sys

import pytest

from support.state import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
try:
    FIGURES = runpy.run_path(str(ROOT / "benchmarks" / "figures.py"))
finally:
    sys.path.pop(0)
PAGE = "# 5.00\n\nThe loss is 1.473\nnats per character after `1.25` s.\n\n```text\n2.50 nats\n```\n"


@pytest.mark.parametrize(
    ("text", "claims", "given", "faults"),
    [
        ("The loss is 1.47\nnats.", ["The loss is 1.47 nats"], [], []),
        (
            "The loss is 1.48 nats.",
            ["The loss is 1.47 nats"],
            [],
            ["does not say: The loss is 1.47 nats", "1.48 nats has no"],
        ),
        ("It needs 5 s.", [], ["needs 5 s"], []),
        ("It needs 5 s.", [], ["needs 6 s"], ["does not say: needs 6 s", "5 s has no"]),
        ("It is 20 times as fast.", [], [], ["20 times has no"]),
        ("| 12.13 % |", [], [], ["12.13 % has no"]),
        ("See [it](1.25 s) and `5 s`, version 0.3.0, `a` of 3.", [], [], []),
        ("```text\n2.50 nats\n```\n<!-- table: speed -->\n2 s\n<!-- end -->", [], [], []),
        ("`elman` needs [5 s](a.md) and 5 s.", ["`elman` needs [5 s](a.md)"], [], ["5 s has no"]),
    ],
)
def test_a_figure_without_a_stored_result_is_found(
    text: str, claims: list[str], given: list[str], faults: list[str]
) -> None:
    found = FIGURES["check"](text, claims, given)
    assert len(found) == len(faults)
    assert all(each.startswith(fault) for each, fault in zip(found, faults, strict=True))
