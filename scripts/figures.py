"""List the pictures of the pages and the results of benchmarks: what made them, when, and where.

    python scripts/figures.py

A row per picture in docs/images and per file in benchmarks/results: the commit that last changed it, how many commits
have since changed its script or the code that it describes, the machine, and the command that makes it. The source is
docs/images/figures.toml. The exit code is 1 if a file has no entry there, or an entry no file, script or page.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDERS = {"docs/images": (".png", ".svg"), "benchmarks/results": (".json",)}
FIGURES = "docs/images/figures.toml"
PAGES = ("README.md", "docs/**/*.md", "benchmarks/NOTES.md", "benchmarks/tables.py")

Entry = dict[str, Any]


def read_entries(root: Path) -> dict[str, Entry]:
    """Return the entries by the path of their file."""
    tables = tomllib.loads((root / FIGURES).read_text("utf-8"))
    return {f"{folder}/{name}": entry for folder, entries in tables.items() for name, entry in entries.items()}


def find_files(root: Path) -> Iterator[str]:
    """Yield the pictures and the results."""
    for folder, suffixes in FOLDERS.items():
        yield from sorted(f"{folder}/{path.name}" for path in (root / folder).iterdir() if path.suffix in suffixes)


def find_faults(root: Path) -> Iterator[str]:
    """Yield what is missing: entries, files, scripts, and pages that show a picture."""
    entries, files = read_entries(root), set(find_files(root))
    pages = "".join(path.read_text("utf-8") for pattern in PAGES for path in sorted(root.glob(pattern)))
    yield from (f"{name}: no entry in {FIGURES}" for name in sorted(files - entries.keys()))
    for name, entry in entries.items():
        script = next(word for word in entry["command"].split() if word.endswith(".py"))
        missing = [path for path in (name, script, *list_code(entry)) if not (root / path).exists()]
        yield from (f"{name}: {path} does not exist" for path in missing)
        if Path(name).suffix != ".json" and Path(name).name not in pages:
            yield f"{name}: on no page"


def list_code(entry: Entry) -> list[str]:
    """Return the paths of the code that a figure describes."""
    return [f"src/elman/{path}" for path in entry.get("code", [])]


def describe_machine(root: Path, name: str, entry: Entry) -> str:
    """Return the machine of an entry or of its results; empty if what the figure shows depends on none."""
    path = root / "benchmarks" / "results" / entry.get("results", Path(name).name)
    if "machine" in entry or path.suffix != ".json":
        return str(entry.get("machine", ""))
    results = json.loads(path.read_text("utf-8"))
    machine = (results[0] if isinstance(results, list) else results).get("machine", "")
    return str(machine["processor"] if isinstance(machine, dict) else machine)


def ask_git(root: Path, *arguments: str) -> str:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Print the table and the faults."""
    for name, entry in read_entries(ROOT).items():
        last = ask_git(ROOT, "log", "-1", "--format=%h %as", "--", name)
        code = [word for word in entry["command"].split() if word.endswith(".py")] + list_code(entry)
        since = ask_git(ROOT, "rev-list", "--count", f"{last.split()[0]}..HEAD", "--", *code) if last else "0"
        age = f"{since} commits behind" if since != "0" else "up to date"
        print(f"{name:46} {last:19} {age:19} {describe_machine(ROOT, name, entry):32} {entry['command']}")
    faults = [*find_faults(ROOT)]
    print(*faults, sep="\n", file=sys.stderr, end="\n" * bool(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
