"""Check the prose, and the files around the package: print a line per finding, and exit with 1 if there is one."""

import ast
import base64
import datetime
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from elman.errors import flag
from elman.network.sampling import list_sampling_options

RETIRED = {
    r"(nats|bits|characters|loss|updates) an? (character|window|second|epoch|update|line|step)": "… per …",
    r"kept aside|keeps? aside|left aside": "held out, validation set",
    r"strangers?": "unknown character; untrusted file",
    r"likeliest": "most likely, top-k",
    r"by heart": "overfits, memorizes",
    r"to the bit": "bit for bit, bit-identical",
    r"first weights": "initial weights",
    r"step size": "learning rate",
    r"spoilt": "corrupted",
    r"unasked": "by default",
    r"(go|goes|going|gone|went) on (with|from|to|learning|by)\b": "resume, continue",
    r"and \S+ came\b|what came\b|came instead": "(got X)",
    r"give (another|one|a number in that range)\b": "no remedy where it adds nothing",
    r"crews?": "thread pool",
    r"doors?": "graceful shutdown",
    r"farewell": "end event",
    r"an? person": "user, or no subject",
    r"pull of the weights": "weight decay",
    r"share that": "fraction, decay, probability",
    r"passed over": "skipped",
    r"one upon the other": "stacked",
    r"side by side": "in parallel, in one batch",
    r"knowing nothing|knows nothing": "uniform baseline",
    r"laid over one another": "overlaid, compared",
    r"random states?": "seed",
    r"without loss": "lossless",
    r"handed on|hands on": "output, passed on",
    r"comes? to rest": "plateaus",
    r"update rules?": "optimizer",
    r"other people's": "in other libraries",
    r"--(prime|random-state|rare|averaging|clip|clip-by|final-rate|context|streams|drain)(?![\w-])": "the new option",
}
"""Terms that the texts do not use, and what they use instead."""

IN_PAGES = {
    r"now|formerly|no longer|used to (be|have|take|need)|in earlier versions": "what is, not what was",
    r"(is|are) called after": "is named after",
    r"what \w+( \w+)? brings?": "the gain, the measurement",
    r"mend(s|ed)?": "fixes, prevents",
    r"of yours": "your own",
    r"so many": "the number",
    r"nobody else's": "no reference",
    r"stands? between": "are omitted",
    r"leaves? open": "does not explain",
    r"all the same": "still",
    r"who uses": "if you use",
    r"under such load": "so loaded",
    r"works as with it": "works, but",
    r"the latter|the former": "the noun",
    r"what it is for": "when to use it",
}
"""Phrases that README.md and the pages of docs/ do not have outside code, and what they have instead."""

LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
CITED = re.compile(r"(?<![\w/.-])(?:benchmarks|docs|examples|scripts|src|tests)/[\w./-]*\w/?")
LOCAL_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|usr|var|private|work)/|[A-Z]:\\\\|File \"/")
RELEASE = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""Of changes, as Keep a Changelog names them."""
CITATION = {"cff-version", "message", "title", "authors", "license", "type"}
"""What the format requires."""
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
"""Of issue forms, as GitHub knows them."""

Passages = Iterable[tuple[int, str]]
"""Texts with the numbers of their first lines."""


# --- Prose ---


def find_terms(name: str, passages: Passages, terms: dict[str, str]) -> Iterator[str]:
    """Yield the terms in passages, with what is used in place of them."""
    patterns = [(re.compile(rf"(?<![\w-])(?:{term})(?!\w)", re.IGNORECASE), use) for term, use in terms.items()]
    for line, passage in passages:
        joined = re.sub(r"\n[ \t]*(?:[#*] )?", " ", passage)  # a term may be broken over two lines
        for pattern, use in patterns:
            yield from (f"{name}:{line}: {match[0]!r} (use: {use})" for match in pattern.finditer(joined))


def split_paragraphs(text: str, *, code: bool = True) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a page, with or without fenced blocks."""
    line, fenced = 1, False
    for paragraph in text.split("\n\n"):
        parts = re.split(r"^```.*$", paragraph, flags=re.MULTILINE)
        yield line, paragraph if code else "\n".join(parts[fenced::2])
        fenced ^= len(parts) % 2 == 0
        line += paragraph.count("\n") + 2


def read_strings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the string literals of a module, which are help, errors and docstrings, and its comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(source.splitlines(), 1):
        if match := re.search(r"(?:^|\s)# (.*)$", line):
            yield number, match[1]


def read_pages(root: Path, *patterns: str) -> Iterator[tuple[str, str]]:
    """Yield the names and the texts of files."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            yield path.relative_to(root).as_posix(), path.read_text("utf-8")


def check_terms(root: Path) -> Iterator[str]:
    """Pages, and strings and comments of the package, use the standard terms."""
    suffixes = ("html", "js", "md")
    pages = ("*.md", "docs/**/*.md", "benchmarks/**/*.md", *(f"src/elman/**/*.{suffix}" for suffix in suffixes))
    for name, text in read_pages(root, *pages):
        yield from find_terms(name, split_paragraphs(text), RETIRED)
    for name, text in read_pages(root, "src/elman/**/*.py"):
        yield from find_terms(name, read_strings(text), RETIRED)
    for name, text in read_pages(root, "README.md", "docs/**/*.md"):
        yield from find_terms(name, split_paragraphs(text, code=False), IN_PAGES)


def check_links(root: Path) -> Iterator[str]:
    """Relative links lead to files, and files that are cited exist."""
    pages = [*read_pages(root, "*.md", "docs/**/*.md")]
    cells = [(name, cell) for name, notebook in read_notebooks(root) for cell in notebook["cells"]]
    pages += [(name, "".join(cell["source"])) for name, cell in cells if cell["cell_type"] == "markdown"]
    for name, text in pages:
        text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        missing = [target for target in LINK.findall(text) if not ((root / name).parent / target).exists()]
        yield from (f"{name}: links to {target}, which does not exist" for target in missing)
    for name, text in read_pages(root, "README.md", "CONTRIBUTING.md", "docs/**/*.md"):
        for cited in CITED.findall(text):
            path = root / cited
            if not (path.parent if "NAME" in cited else path).exists():  # NAME is that of a file that the reader adds
                yield f"{name}: cites {cited}, which does not exist"


def check_readme(root: Path) -> Iterator[str]:
    """It is short, and its images have an alternative text."""
    text = (root / "README.md").read_text("utf-8")
    if (words := len(text.split())) > 900:
        yield f"README.md: {words} words; at most 900"
    for alternative, image in re.findall(r"!\[(.*?)\]\((.*?)\)", text):
        if len(alternative) <= 20:
            yield f"README.md: {image} needs an alternative text"


def check_sampling_options(root: Path) -> Iterator[str]:
    """The page on sampling has each of its options."""
    page = "docs/how_to/generate_text.md"
    text = (root / page).read_text("utf-8")
    names = [flag(option.name) for option in list_sampling_options()]
    yield from (f"{page}: {name} is not described" for name in names if name not in text)


# --- Notebooks ---


def read_notebooks(root: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and the contents of the notebooks."""
    yield from ((name, json.loads(text)) for name, text in read_pages(root, "examples/*.ipynb"))


def check_notebooks(root: Path) -> Iterator[str]:
    """They have the outputs of one execution, are small, are on the page of examples, and name no path of a machine."""
    page = (root / "docs/examples/index.md").read_text("utf-8")
    for name, notebook in read_notebooks(root):
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        outputs = [output for cell in code for output in cell["outputs"]]
        if f"(../../{name})" not in page:
            yield f"{name}: docs/examples/index.md does not link to it"
        if (root / name).stat().st_size > 200_000:
            yield f"{name}: more than 200,000 bytes"
        if [cell["execution_count"] for cell in code] != [*range(1, len(code) + 1)]:
            yield f"{name}: not executed once from top to bottom; run scripts/execute_notebooks.py"
        if any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs):
            yield f"{name}: has an error or a warning"
        if not any("image/png" in output.get("data", {}) for output in outputs):
            yield f"{name}: has no figure"
        sources = ["".join(cell["source"]) for cell in notebook["cells"]]
        for found in LOCAL_PATH.findall("\n".join([*sources, *map(read_output, outputs)])):
            yield f"{name}: has the path of a machine, {found}"


def read_output(output: dict[str, Any]) -> str:
    """Return the text of an output; of an image, its beginning, where the metadata are."""
    data = output.get("data", {})
    image = base64.b64decode("".join(data.get("image/png", "")))[:500].decode("latin-1")
    texts = [output.get("text", ""), *(value for kind, value in data.items() if kind != "image/png")]
    return "\n".join(["".join(text) if isinstance(text, list) else str(text) for text in texts] + [image])


# --- The files around the package ---


def read_project(root: Path) -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text("utf-8"))


def check_versions(root: Path) -> Iterator[str]:
    """Version and date are the same everywhere; the changelog has the newest version first, and known kinds."""
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    headings = [section.partition("\n")[0] for section in sections]
    matches = [match for match in map(RELEASE.fullmatch, headings) if match]
    if len(matches) + headings.count("[Unreleased]") < len(headings):
        yield f"CHANGELOG.md: a heading is not [N] - YYYY-MM-DD: {headings}"
        return
    numbers = [tuple(map(int, match[1].split("."))) for match in matches]
    if numbers != sorted({*numbers}, reverse=True):
        yield f"CHANGELOG.md: versions out of order: {headings}"
    for heading, section in zip(headings, sections, strict=True):
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        if not {*kinds} <= KINDS or len({*kinds}) < len(kinds) or not (kinds or heading == "[Unreleased]"):
            yield f"CHANGELOG.md: {heading} has the kinds {kinds}; use each of {sorted(KINDS)} at most once"
    citation = read_yaml(root / "CITATION.cff")
    found = {
        "CITATION.cff": (citation["version"], citation["date-released"]),
        "pyproject.toml": (read_project(root)["version"],),
        "src/elman/_version.py": (re.findall(r'"(.+)"', (root / "src/elman/_version.py").read_text("utf-8"))[-1],),
    }
    expected = (matches[0][1], datetime.date.fromisoformat(matches[0][2]))
    for name, version in found.items():
        if version != expected[: len(version)]:
            yield f"{name}: {version[0]} is not the {expected[0]} of {expected[1]} in CHANGELOG.md"


def check_citation(root: Path) -> Iterator[str]:
    """The citation has what its format requires."""
    citation = read_yaml(root / "CITATION.cff")
    if missing := CITATION - citation.keys():
        yield f"CITATION.cff: misses {sorted(missing)}"
    for authors in (citation["authors"], *(reference["authors"] for reference in citation.get("references", []))):
        if not authors or not all({"name", "family-names"} & author.keys() for author in authors):
            yield f"CITATION.cff: authors need a name: {authors}"


def check_pythons(root: Path) -> Iterator[str]:
    """Classifiers and the workflow name every supported version of Python."""
    project, prefix = read_project(root), "Programming Language :: Python :: 3."
    (bounds,) = re.findall(r">=3\.(\d+),<3\.(\d+)", project["requires-python"])
    expected = [f"3.{minor}" for minor in range(*map(int, bounds))]
    classifiers = [f"3.{each.removeprefix(prefix)}" for each in project["classifiers"] if each.startswith(prefix)]
    matrix = read_yaml(root / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    for name, found in (("pyproject.toml: classifiers", classifiers), (".github/workflows/ci.yml: matrix", matrix)):
        if found != expected:
            yield f"{name} {found} are not {expected}"


def check_issue_forms(root: Path) -> Iterator[str]:
    """Issue forms have what GitHub requires."""
    for path in sorted(root.glob(".github/ISSUE_TEMPLATE/*.yml")):
        form, name = read_yaml(path), path.relative_to(root).as_posix()
        if path.stem == "config":
            continue
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        if not (form.get("name") and form.get("description") and fields):
            yield f"{name}: needs a name, a description and a field"
        if unknown := {field["type"] for field in form["body"]} - FIELDS:
            yield f"{name}: unknown types {sorted(unknown)}"
        if len({field["id"] for field in fields}) < len(fields) or not all(f["attributes"]["label"] for f in fields):
            yield f"{name}: every field needs a label and an id of its own"


def check_scripts(root: Path) -> Iterator[str]:
    """Scripts are short, can be executed from anywhere, stop at an error, and name programs that exist."""
    for path in sorted(path for path in (root / "scripts").iterdir() if path.is_file() and not path.suffix):
        text, name = path.read_text("utf-8"), f"scripts/{path.name}"
        if len(text.splitlines()) > 25:
            yield f"{name}: more than 25 lines"
        if not (os.access(path, os.X_OK) and "\nset -euo pipefail\n" in text and '\ncd "$(dirname "$0")/.."\n' in text):
            yield f"{name}: must be executable, set -euo pipefail, and change to the root"
        for program in re.findall(r"(?:scripts|benchmarks)/\w+\.py", text):
            if not (root / program).exists():
                yield f"{name}: {program} does not exist"


def check_docker(root: Path) -> Iterator[str]:
    """Docker reads what the build of the package needs, and nothing else."""
    project = read_project(root)
    first, *lines = (root / ".dockerignore").read_text("utf-8").split()
    expected = {"README.md", *project["license-files"], "pyproject.toml", "src"}
    if first != "*" or {line[1:] for line in lines if line.startswith("!")} != expected:
        yield f".dockerignore: must exclude * but {sorted(expected)}"


RULES: list[Callable[[Path], Iterator[str]]] = [
    check_terms, check_links, check_readme, check_sampling_options, check_notebooks, check_versions, check_citation,
    check_pythons, check_issue_forms, check_scripts, check_docker,
]  # fmt: skip

if __name__ == "__main__":
    here = Path(__file__).parents[1]
    sys.exit("\n".join(finding for rule in RULES for finding in rule(here)) or 0)
