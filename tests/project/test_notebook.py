"""The notebooks in examples/ run; scripts/lint_docs.py checks the outputs that are stored in them."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from support.state import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "execute_notebooks.py"))


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_what_is_volatile_is_removed() -> None:
    new = nbformat.v4
    progress = new.new_output("display_data", data={"text/html": "<pre>epoch 1 ━━━━ 100 chars/s</pre>"})
    cell = new.new_code_cell("1", metadata={"execution": {"iopub.status.busy": "2026-01-01"}}, outputs=[
        new.new_output("stream", name="stderr", text="warning"), progress, new.new_output("stream", text="kept"),
    ])  # fmt: skip
    notebook = new.new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11.7"}})
    SCRIPT["strip"](notebook)
    assert [output.text for output in cell.outputs] == ["kept"]
    assert (cell.id, cell.metadata, notebook.metadata.language_info) == ("cell-0", {}, {"name": "python"})


@pytest.mark.slow  # .ci/run has it
@pytest.mark.parametrize("magic", ["", "%matplotlib inline\n", "import matplotlib.pyplot\n"], ids=repr)
def test_plots_and_explanations_are_shown_once(magic: str, tmp_path: Path) -> None:
    new = nbformat.v4
    train = "run = elman.train(text, preset='reference', hidden_size=4, engine='numpy', max_updates=20, progress=False)"
    sources = [
        f"{magic}import elman\ntext = elman.Corpus.from_text('the cat sat on the mat. ' * 30)\n{train}",
        "run.plot()",
        "elman.explain('the mat', run.model)",
    ]
    notebook = new.new_notebook(cells=[new.new_code_cell(source) for source in sources])
    SCRIPT["execute"](notebook, tmp_path)
    _, plot, explanation = code(notebook)
    (figure,), (text,) = plot.outputs, explanation.outputs
    assert {"image/png", "text/plain"} == {*figure.data}
    assert text.data["text/html"].count("rgba(") == 6


@pytest.mark.slow  # .ci/run has it
@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_has_outputs_of_the_stored_kinds(path: Path, tmp_path: Path) -> None:
    for extra in {"sweep": ["optuna"], "serving": ["openai", "starlette"]}.get(path.stem, []):
        pytest.importorskip(extra)
    stored, notebook = (nbformat.read(path, as_version=4) for _ in range(2))
    nbformat.validate(stored)
    SCRIPT["execute"](notebook, tmp_path)
    SCRIPT["strip"](notebook)
    for cell, before in zip(code(notebook), code(stored), strict=True):
        assert {each.output_type for each in cell.outputs} == {each.output_type for each in before.outputs}, cell.source
