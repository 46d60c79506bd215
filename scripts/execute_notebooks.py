"""Execute the notebooks in examples/ and store their outputs.

    python scripts/execute_notebooks.py [NOTEBOOK…]

Each is executed in an empty directory that is then removed. Outputs that differ between two executions and do not
inform a reader are not stored: execution times, versions, standard error, and the progress of training.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

EXAMPLES = Path(__file__).parents[1] / "examples"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
TIMEOUT = 300
"""Maximum seconds for one cell."""


def execute(notebook: Any, directory: str | Path) -> None:
    """Execute a notebook in place, in `directory`.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises an exception.
    """
    nbclient.NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(directory)}}).execute()


def is_progress(output: Any) -> bool:
    """Return whether an output is standard error or a display of Rich, which shows the progress of training."""
    return output.get("name") == "stderr" or "━" in output.get("data", {}).get("text/html", "")


def strip(notebook: Any) -> None:
    """Remove outputs that differ between two executions and do not inform a reader."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]


def main() -> None:
    """Execute, strip and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(EXAMPLES.glob("*.ipynb")))
    for path in parser.parse_args().notebooks:
        print(path.name, flush=True)
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as directory:
            execute(notebook, directory)
        strip(notebook)
        nbformat.validate(notebook)
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
