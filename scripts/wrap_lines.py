"""Wrap the prose in lines that are too long: paragraphs of docstrings, comments, and strings on lines of their own.

``python scripts/wrap_lines.py`` rewrites the files in which ruff finds such lines. Programs compute the same: only the
white space of docstrings changes.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import textwrap
import tokenize
from pathlib import Path

WIDTH = 120
_LITERAL = re.compile(r'(\s*(?:\w+=)?)([frb]*)"((?:[^"\\]|\\.)*)"(.*)')
_NO_PROSE = re.compile(r'\s*(?:$|[*\-#>=|]|\d+\.)|.*"""|.*::$')
"""A line that is not part of a paragraph, or begins an item."""


def find_long_lines() -> dict[Path, list[int]]:
    """Return the numbers of the lines that are too long, from the last to the first, by file."""
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--select", "E501", "--exit-zero"]
    found = json.loads(subprocess.run([*ruff, "--output-format", "json"], capture_output=True, check=True).stdout)
    lines = dict[Path, list[int]]()
    for each in reversed(found):
        lines.setdefault(Path(each["filename"]), []).append(each["location"]["row"])
    return lines


def wrap_line(source: str, number: int) -> str:
    """Return a program with a long line wrapped, or unchanged if that is not possible."""
    lines = source.splitlines(keepends=True)
    line, at = lines[number - 1].rstrip("\n"), number - 1
    indent = line[: len(line) - len(line.lstrip())]
    if line.lstrip().startswith("# "):
        changed = _fill(line.strip()[2:], f"{indent}# ")
        wrapped = [*lines[:at], changed, *lines[at + 1 :]]
    elif match := _LITERAL.fullmatch(line):
        start, prefix, text, end = match.groups()
        cut = text.rfind(" ", 0, WIDTH - len(start) - len(prefix) - 2)
        halves = f'{start}{prefix}"{text[:cut]}"\n{indent}{prefix}"{text[cut:]}"{end}\n'
        wrapped = [*lines[:at], halves, *lines[at + 1 :]]
    else:
        first, last = _find_paragraph(source, lines, at, indent)
        paragraph = " ".join(each.strip() for each in lines[first:last])
        wrapped = [*lines[:first], _fill(paragraph, indent), *lines[last:]] if first < last else lines
    result = "".join(wrapped)
    return result if _meaning(result) == _meaning(source) else source


def _find_paragraph(source: str, lines: list[str], at: int, indent: str) -> tuple[int, int]:
    """Return the first line of the paragraph of a docstring, and the line after it; the same if there is none."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    if not any(each.type == tokenize.STRING and each.start[0] <= at < each.end[0] for each in tokens):
        return at, at

    def continues(line: str) -> bool:
        return not _NO_PROSE.match(line) and line.startswith(indent) and not line[len(indent) :].startswith(" ")

    if _NO_PROSE.match(lines[at]):
        return at, at
    first, last = at, at + 1
    while continues(lines[first - 1]):
        first -= 1
    while continues(lines[last]):
        last += 1
    return first, last


def _fill(text: str, indent: str) -> str:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, **options) + "\n"  # type: ignore[arg-type]


def _meaning(source: str) -> str:
    """Return a program without the white space of its docstrings, for comparison; empty if it is not valid."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = " ".join(node.value.value.split())
    return ast.dump(tree)


if __name__ == "__main__":
    for path, numbers in find_long_lines().items():
        source = path.read_text("utf-8")
        for number in numbers:
            source = wrap_line(source, number)
        path.write_text(source, "utf-8")
