"""Count the lines of the Python files below folders, by default ``src``: code, docstrings, comments, imports, blank."""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT}


def count(source: str) -> Counter[str]:
    """Return the number of lines of each kind; a line with code and a comment is code."""
    tree = ast.parse(source)
    docstrings, imports = set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docstrings.update(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(range(node.lineno, (node.end_lineno or 0) + 1))
    code = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    kinds = Counter[str]()
    for number, line in enumerate(source.splitlines(), 1):
        if number in docstrings:
            kinds["docstrings"] += 1
        elif number in imports:
            kinds["imports"] += 1
        elif number in code:
            kinds["code"] += 1
        else:
            kinds["comments" if line.strip() else "blank"] += 1
    return kinds


def main() -> None:
    """Print a row per folder."""
    for folder in sys.argv[1:] or ["src"]:
        paths = sorted(Path(folder).rglob("*.py"))
        total = sum((count(path.read_text("utf-8")) for path in paths), Counter[str]())
        row = ", ".join(f"{kind} {number:,}" for kind, number in sorted(total.items()))
        print(f"{folder}: {total.total():,} lines in {len(paths)} files: {row}")


if __name__ == "__main__":
    main()
