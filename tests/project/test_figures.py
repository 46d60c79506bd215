"""docs/images/figures.toml has every picture and every file of results; scripts/figures.py finds what is missing."""

import runpy
from pathlib import Path

import pytest

from support.state import ROOT

find_faults = runpy.run_path(str(ROOT / "scripts" / "figures.py"))["find_faults"]
FIGURES = "docs/images/figures.toml"
FILES = {
    "README.md": "![A loss](docs/images/loss.png)",
    "docs/images/loss.png": "",
    FIGURES: '["docs/images"]\n"loss.png" = {command = "python scripts/draw.py loss", code = ["network"]}\n',
    "benchmarks/results/none.txt": "",
    "scripts/draw.py": "",
    "src/elman/network": "",
}


def test_every_figure_has_an_entry() -> None:
    assert [*find_faults(ROOT)] == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("docs/images/new.svg", "", f"docs/images/new.svg: no entry in {FIGURES}"),
        ("benchmarks/results/new.json", "", f"benchmarks/results/new.json: no entry in {FIGURES}"),
        ("scripts/draw.py", None, "docs/images/loss.png: scripts/draw.py does not exist"),
        ("src/elman/network", None, "docs/images/loss.png: src/elman/network does not exist"),
        ("docs/images/loss.png", None, "docs/images/loss.png: docs/images/loss.png does not exist"),
        ("README.md", "no picture", "docs/images/loss.png: on no page"),
    ],
)
def test_a_fault_is_found(tmp_path: Path, file: str, text: str | None, fault: str) -> None:
    for name, content in {**FILES, file: text}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (tmp_path / name).write_text(content, "utf-8")
    assert [*find_faults(tmp_path)] == [fault]
