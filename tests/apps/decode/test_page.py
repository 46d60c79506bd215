"""The first example of `docs/how_to/decode.md` prints what the page and README show."""

import re

import pytest

from support.state import ROOT

PAGE = (ROOT / "docs" / "how_to" / "decode.md").read_text("utf-8")
((PROGRAM, PRINTED),) = re.findall(r"<!-- run: first -->\n```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example(capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAM, {})
    assert capsys.readouterr().out == PRINTED


def test_the_readme_shows_the_decoded_line() -> None:
    assert " → ".join(f"`{line}`" for line in PRINTED.splitlines()) in (ROOT / "README.md").read_text("utf-8")
