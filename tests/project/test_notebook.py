"""The notebook in examples/ does what it says, and holds no outputs."""

from pathlib import Path
from typing import Any

import pytest

from support.state import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "examples" / "elman.ipynb"
SECONDS = 300
"""What one cell may take."""


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    """Return what a cell wrote and what its last line was."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    return "\n".join(texts)


def test_it_holds_no_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert [cell for cell in code(notebook) if cell.outputs or cell.execution_count] == []


@pytest.mark.slow  # .ci/run has it
def test_it_does_what_it_says(notebook: Any, tmp_path: Path) -> None:
    client = nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    training, curve, writing, scoring, checking = code(notebook)[1:]
    assert "'updates': 600" in printed(training)
    assert "image/png" in curve.outputs[-1].data
    assert printed(writing).count("--- temperature") == 2
    known, shuffled = (float(line.split(": ")[1].split()[0]) for line in printed(scoring).splitlines() if line)
    assert known < shuffled
    assert printed(checking).endswith("True")
    assert list(tmp_path.iterdir()) == []
