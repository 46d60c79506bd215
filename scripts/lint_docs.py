"""Check the pages and the files around the package: print a line per finding, and exit with 1 if there is one."""

import base64
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from elman.errors import flag
from elman.network.sampling import list_sampling_options

LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
CITED = re.compile(r"(?<![\w/.-])(?:benchmarks|docs|examples|scripts|src|tests)/[\w./-]*\w/?")
LOCAL_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|usr|var|private|work)/|[A-Z]:\\\\|File \"/")
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2}|unreleased)$", re.MULTILINE)


def read_pages(root: Path, *patterns: str) -> Iterator[tuple[str, str]]:
    """Yield the names and the texts of files."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            yield path.relative_to(root).as_posix(), path.read_text("utf-8")


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
            if not (path.parent if "NAME" in cited else path).exists():  # NAME is a file that the reader adds
                yield f"{name}: cites {cited}, which does not exist"


def check_readme(root: Path) -> Iterator[str]:
    """The README is short, and its images have an alternative text."""
    text = (root / "README.md").read_text("utf-8")
    if (words := len(text.split())) > 650:
        yield f"README.md: {words} words; at most 650"
    for alternative, image in re.findall(r"!\[(.*?)\]\((.*?)\)", text):
        if len(alternative) <= 20:
            yield f"README.md: {image} needs an alternative text"


def check_length(root: Path) -> Iterator[str]:
    """The pages, without the generated reference of the commands, are short enough to be kept true."""
    pages = dict(read_pages(root, "docs/*.md", "docs/*/*.md"))
    pages.pop("docs/reference/commands.md", None)
    if (words := sum(len(text.split()) for text in pages.values())) > 22_000:
        yield f"docs: {words:,} words; at most 22,000"


def check_sampling_options(root: Path) -> Iterator[str]:
    """The page on sampling describes every sampling option; the generated pages have the options of all commands."""
    page = "docs/how_to/generate_text.md"
    text = (root / page).read_text("utf-8")
    names = [flag(option.name) for option in list_sampling_options()]
    yield from (f"{page}: {name} is not described" for name in names if name not in text)


def read_notebooks(root: Path) -> Iterator[tuple[str, Any]]:
    """Yield the names and the contents of the notebooks."""
    yield from ((name, json.loads(text)) for name, text in read_pages(root, "examples/*.ipynb"))


def check_notebooks(root: Path) -> Iterator[str]:
    """Notebooks have the outputs of one execution, and contain no path of a machine."""
    for name, notebook in read_notebooks(root):
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        outputs = [output for cell in code for output in cell["outputs"]]
        if [cell["execution_count"] for cell in code] != [*range(1, len(code) + 1)]:
            yield f"{name}: not executed once from top to bottom; run scripts/execute_notebooks.py"
        if any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs):
            yield f"{name}: has an error or a warning"
        sources = ["".join(cell["source"]) for cell in notebook["cells"]]
        for found in LOCAL_PATH.findall("\n".join([*sources, *map(read_output, outputs)])):
            yield f"{name}: has the path of a machine, {found}"


def read_output(output: dict[str, Any]) -> str:
    """Return the text of an output; for an image, its beginning, which contains the metadata."""
    data = output.get("data", {})
    image = base64.b64decode("".join(data.get("image/png", "")))[:500].decode("latin-1")
    texts = [output.get("text", ""), *(value for kind, value in data.items() if kind != "image/png")]
    return "\n".join(["".join(text) if isinstance(text, list) else str(text) for text in texts] + [image])


def read_project(root: Path) -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def check_versions(root: Path) -> Iterator[str]:
    """Version and date are those of the changelog's first version; while it is unreleased, there is no date."""
    number, date = RELEASE.findall((root / "CHANGELOG.md").read_text("utf-8"))[0]
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    found = {
        "CITATION.cff": (citation["version"], str(citation.get("date-released", "unreleased"))),
        "pyproject.toml": (read_project(root)["version"],),
        "src/elman/_version.py": (re.findall(r'"(.+)"', (root / "src/elman/_version.py").read_text("utf-8"))[-1],),
    }
    for name, version in found.items():
        if version != (number, date)[: len(version)]:
            yield f"{name}: {version[0]} is not the {number} of {date} in CHANGELOG.md"


def check_pythons(root: Path) -> Iterator[str]:
    """Classifiers and the workflow name every supported version of Python."""
    project, prefix = read_project(root), "Programming Language :: Python :: 3."
    (bounds,) = re.findall(r">=3\.(\d+),<3\.(\d+)", project["requires-python"])
    expected = [f"3.{minor}" for minor in range(*map(int, bounds))]
    classifiers = [f"3.{each.removeprefix(prefix)}" for each in project["classifiers"] if each.startswith(prefix)]
    jobs = yaml.safe_load((root / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]["python"]
    for name, found in (("pyproject.toml: classifiers", classifiers), (".github/workflows/ci.yml: matrix", matrix)):
        if found != expected:
            yield f"{name} {found} are not {expected}"


def check_docker(root: Path) -> Iterator[str]:
    """Docker reads only the files that the build of the package needs."""
    first, *lines = (root / ".dockerignore").read_text("utf-8").split()
    expected = {"README.md", *read_project(root)["license-files"], "pyproject.toml", "src"}
    if first != "*" or {line[1:] for line in lines if line.startswith("!")} != expected:
        yield f".dockerignore: must exclude * but {sorted(expected)}"


RULES: list[Callable[[Path], Iterator[str]]] = [
    check_links, check_readme, check_length, check_sampling_options, check_notebooks, check_versions, check_pythons,
    check_docker,
]  # fmt: skip

if __name__ == "__main__":
    here = Path(__file__).parents[1]
    sys.exit("\n".join(finding for rule in RULES for finding in rule(here)) or 0)
