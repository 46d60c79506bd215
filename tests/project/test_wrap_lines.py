"""Long lines of prose are wrapped, and nothing else is."""

import ast
import runpy

import pytest

from support.state import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "wrap_lines.py"))
WIDTH, wrap_line = SCRIPT["WIDTH"], SCRIPT["wrap_line"]
LONG = " ".join(["words"] * 22)
PROGRAM = f'''def f(help: str = "") -> str:
    """Do it.

    A first line.
    {LONG} {LONG[:30]}
    The last line.

    * An item.
    """
    # {LONG} {LONG[:20]}
    return f(
        "{LONG} {LONG[:20]} {{more}}"
    )
'''


@pytest.mark.parametrize("number", [5, 10, 12])
def test_a_long_line_is_wrapped(number: int) -> None:
    wrapped = wrap_line(PROGRAM, number).splitlines()
    assert len(PROGRAM.splitlines()[number - 1]) > WIDTH
    assert not {*wrapped} - {*PROGRAM.splitlines()} & {line for line in wrapped if len(line) > WIDTH}
    assert ast.dump(ast.parse("\n".join(wrapped)).body[0].body[-1]) == ast.dump(ast.parse(PROGRAM).body[0].body[-1])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "line", [f"x = {' + '.join(['1'] * 40)}\n", f'y = """{LONG} {LONG}\n"""\n', f"z = 1  # {LONG}\n"]
)
def test_code_stays_as_it_is(line: str) -> None:
    assert wrap_line(line, 1) == line
