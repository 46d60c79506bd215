"""Draw small mistakes in ``src/elman``, apply each to a copy of the repository, and print which ones the tests find."""

import argparse
import ast
import difflib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from elman.storage import cache_dir

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src/elman"
HANGS = 120  # seconds after which a test counts as failed; a test that compiles may need 60
MEMORY = 12 << 30  # bytes per process: a wrong constant may request any amount

OPERATORS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "is not": "is", "in": "not in",
    "not in": "in", "and": "or", "or": "and", "+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "*", "**": "*",
    "<<": ">>", ">>": "<<", "&": "|", "|": "&",
}  # fmt: skip
_OPERATOR = re.compile(r"\b(?:is not|not in|is|in|and|or)\b|<<|>>|[<>=!]=|\*\*|//|[-+*/%<>&|]")
_FORGOTTEN = {"copy", "ravel", "sort", "strip", "lower", "clear", "abs", "bool", "float", "int", "max", "min", "sorted"}


class Mutant(NamedTuple):
    """A change of a module: the bytes from `start` to `end` become `text`."""

    path: Path
    line: int
    start: int
    end: int
    text: str

    def apply(self, data: bytes) -> bytes:
        """Return the changed module."""
        return data[: self.start] + self.text.encode() + data[self.end :]


def find_mutants(path: Path) -> Iterator[Mutant]:
    """Yield the changes of a module that a test may notice."""
    data, starts = path.read_bytes(), [0]
    for row in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))

    def span(node: ast.AST) -> tuple[int, int]:
        place: list[int] = [getattr(node, name) for name in node._attributes]
        return starts[place[0] - 1] + place[1], starts[place[2] - 1] + place[3]

    def text(node: ast.expr) -> str:
        found = data[slice(*span(node))].decode()
        return found if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Constant) else f"({found})"

    def change_operator(left: ast.expr, right: ast.expr) -> Iterator[tuple[int, int, str]]:
        start, end = span(left)[1], span(right)[0]
        if not (_is_text(left) or _is_text(right)) and (found := _OPERATOR.search(data[start:end].decode())):
            yield start + found.start(), start + found.end(), OPERATORS[found[0]]

    def change(node: ast.AST) -> Iterator[tuple[int, int, str]]:
        match node:
            case ast.Compare(left, _, [right, *_]) | ast.BoolOp(_, [left, right, *_]) | ast.BinOp(left, _, right):
                yield from change_operator(left, right)
            case ast.AugAssign(left, _, right):
                yield from change_operator(left, right)
                yield *span(node), "pass"
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                yield *span(node), text(operand)
            case ast.Constant(bool(value)):
                yield *span(node), repr(not value)
            case ast.Constant(int(value) | float(value)):
                yield from ((*span(node), repr(value + step)) for step in (-1, 1))
            case ast.Call(ast.Attribute(value, name), []) | ast.Call(ast.Name(name), [value]) if name in _FORGOTTEN:
                yield *span(node), text(value)
            case ast.Call(ast.Name("min" | "max")):
                return  # their order has no meaning
            case ast.Call(_, [first, second, *_]) if type(first) is type(second):
                (start, begin), (end, stop) = span(first), span(second)
                yield start, stop, (data[end:stop] + data[begin:end] + data[start:begin]).decode()
            case ast.If(test) | ast.While(test) | ast.IfExp(test):
                yield *span(test), f"not {text(test)}"
            case ast.Raise() | ast.Continue() | ast.Expr() | ast.Assign([ast.Attribute() | ast.Subscript()]):
                yield *span(node), "pass"

    for node in walk(ast.parse(data)):
        for start, end, new in change(node):
            mutant = Mutant(path, data.count(b"\n", 0, start) + 1, start, end, new)
            if mutant.apply(data) != data:
                yield mutant


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that matter to a test: not types, texts of errors and logs, decorators, and assertions."""
    match node:
        case ast.JoinedStr() | ast.Assert() | ast.keyword("strict") | ast.Expr(ast.Constant() | ast.Yield()):
            return
        case ast.If(ast.Name("TYPE_CHECKING")) | ast.Assign([ast.Name("__all__")]):
            return
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("log" | "warnings")))):
            return
    yield node
    for name, field in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list") and not isinstance(node, ast.Raise):
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST):
                    yield from walk(child)


def _is_text(node: ast.expr) -> bool:
    """Return whether an operand is a text, or None in a union of types: another operator is a TypeError at once."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | None))


def draw(count: int, seed: int) -> list[Mutant]:
    """Return mutants of lines at equal distances, so that a folder has as many as its share of the lines."""
    generator, lines = random.Random(seed), dict[tuple[Path, int], list[Mutant]]()
    for path in sorted(SOURCES.rglob("*.py")):
        imported = re.findall(r"^(?:import|from) (\w+)", path.read_text("utf-8"), re.M)
        if all(map(find_spec, {*imported})):  # otherwise the tests are skipped
            for mutant in find_mutants(path):
                lines.setdefault(mutant[:2], []).append(mutant)
    choices, offset = [*lines.values()], generator.random()
    return [generator.choice(choices[int((n + offset) * len(choices) / count)]) for n in range(count)]


def order_tests(tree: Path, module: Path) -> list[list[str]]:
    """Return the test files in three groups: files that mirror a module, files that name it, and the others."""
    tests, name = tree / "tests", ".".join(["elman", *module.with_suffix("").parts])
    folder = next(each for each in (tests / module).parents if any(each.glob("test_*.py")))
    groups: list[list[tuple[bool, int, str]]] = [[], [], []]
    for path in sorted(tests.rglob("test_*.py")):
        content = path.read_text("utf-8")
        is_named = f"{name} " in content or f'"{module.stem}"' in content  # of a command, as a word of its line
        is_near = name.rpartition(".")[0] in content or module.parts[0] in path.parts
        is_first = path.name == f"test_{module.stem}.py" if path.parent == folder else is_near
        group = groups[0 if path.parent == folder else 1 if is_named else 2]
        group.append((not is_first, len(path.parts), str(path)))  # tests of the whole package before tests of folders
    return [[path for *_, path in sorted(group)] for group in groups if group]


def run_tests(tree: Path, files: list[str], seconds: float, workers: int) -> str | None:
    """Return the first test that fails; empty if none fails, and None if they need too much time."""
    options = ["-x", "-q", "-n", str(workers), "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={HANGS}"]
    path = os.pathsep.join(str(tree / folder) for folder in ("src", "tests"))
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "-o", "faulthandler_exit_on_timeout=true", *files], cwd=tree,
        env=os.environ | {"PYTHONPATH": path, "ELMAN_CACHE": str(tree / ".cache")}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
    ) as process:  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=max(0, seconds))
        except subprocess.TimeoutExpired:
            return None
        finally:  # with the processes that the tests have started
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.M)
    return found[1] if found else "" if process.returncode in (0, 5) else printed[-300:]


def try_mutant(tree: Path, mutant: Mutant, seconds: float, workers: int) -> str:
    """Make a change in the copy of the repository, test it, and undo it; return the result."""
    path, started = tree / mutant.path.relative_to(ROOT), time.monotonic()
    shutil.rmtree(tree / ".cache", ignore_errors=True)
    (tree / ".cache").mkdir()
    for folder in cache_dir().glob("kernels-*"):  # a mutant's own files replace links and stay here
        shutil.copytree(folder, tree / ".cache" / folder.name, copy_function=os.symlink)
    data = path.read_bytes()
    path.write_bytes(mutant.apply(data))
    try:
        test: str | None = ""
        for files in order_tests(tree, mutant.path.relative_to(SOURCES)):
            if (test := run_tests(tree, files, seconds - (time.monotonic() - started), workers)) != "":
                break
    finally:
        path.write_bytes(data)
    if not test:
        return "survived all tests" if test == "" else f"survived {seconds:.0f} s"
    duration = time.monotonic() - started
    if run_tests(tree, [test.partition("[")[0]], seconds, workers) != "":
        return f"undecided: without the change, too, fails {test}"
    return f"killed in {duration:.0f} s by {test}"


def describe(mutant: Mutant) -> str:
    """Return the place of a change, and the lines before and after."""
    data = mutant.path.read_bytes()
    before, after = (each.decode().splitlines() for each in (data, mutant.apply(data)))
    rows = difflib.unified_diff(before, after, n=0, lineterm="")
    changed = [row for row in rows if not re.match(r"---|\+\+\+|@@", row)]
    return "\n".join([f"{mutant.path.relative_to(ROOT)}:{mutant.line}", *changed])


def main() -> None:
    """Print the result of each mutant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=50, help="mutants to draw (default 50)")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the drawn mutants to try")
    parser.add_argument("--seconds", type=float, default=300, help="for the tests of a mutant (default 300)")
    parser.add_argument("-n", "--workers", type=int, default=1, help="processes of pytest (default 1)")
    options, results = parser.parse_args(), list[str]()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree = Path(name)
        for file in filter(None, files.split("\0")):
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, tree / file, follow_symlinks=False)
        for number, mutant in enumerate(draw(options.count, options.seed), 1):
            if not options.only or number in options.only:
                results.append(try_mutant(tree, mutant, options.seconds, options.workers))
                print(f"{number} {results[-1]}: {describe(mutant)}\n", flush=True)
    print(f"{sum(each.startswith('killed') for each in results)} of {len(results)} killed")


if __name__ == "__main__":
    main()
