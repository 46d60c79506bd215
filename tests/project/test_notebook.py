"""The notebooks in examples/ have the outputs of an execution, and still run."""

import base64
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.state import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
MAX_BYTES = 200_000
"""Of one notebook with its outputs."""
LOCAL_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|usr|var|private|work)/|[A-Z]:\\\\|File \"/")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: Any) -> str:
    """Return what a cell wrote and what its last line was."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    return "\n".join(texts)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code(notebook) for output in cell.outputs]


def has_figure(cell: Any) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


SCRIPT = runpy.run_path(str(ROOT / "scripts" / "execute_notebooks.py"))


def test_there_are_the_notebooks_of_the_page() -> None:
    page = (ROOT / "docs" / "examples" / "index.md").read_text("utf-8")
    assert {path.name for path in NOTEBOOKS} == set(re.findall(r"\(\.\./\.\./examples/(\w+\.ipynb)\)", page))


@each_notebook
def test_it_has_the_outputs_of_one_execution(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code(notebook)] == [*range(1, len(code(notebook)) + 1)]
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert {output.get("name", "stdout") for output in outputs(notebook)} == {"stdout"}
    assert any(has_figure(cell) for cell in code(notebook))
    assert path.stat().st_size <= MAX_BYTES


@each_notebook
def test_it_names_no_path_of_a_machine(path: Path) -> None:
    notebook = read(path)
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        texts += [
            output.get("text", ""),
            *(str(data) for kind, data in output.get("data", {}).items() if "png" not in kind),
        ]
        png = output.get("data", {}).get("image/png")
        texts += [base64.b64decode(png)[:500].decode("latin-1")] if png else []
    assert [match[0] for text in texts for match in LOCAL_PATH.finditer(text)] == []


@each_notebook
def test_its_links_lead_somewhere(path: Path) -> None:
    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (path.parent / target).exists(), target


def test_a_path_is_found() -> None:
    for text in ('File "/home/x/y.py"', "/tmp/tmpab12/runs", "saved to /root/runs", "C:\\\\Users"):
        assert LOCAL_PATH.search(text), text
    for text in ("runs/docs", "http://127.0.0.1:8000/tmp/x", "../docs/lines.md", "/items/4711"):
        assert not LOCAL_PATH.search(text), text


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


def check_first_model(notebook: Any) -> None:
    training, curve, writing, scoring, checking = code(notebook)[1:]
    assert "'updates': 600" in printed(training)
    assert has_figure(curve)
    assert printed(writing).count("--- temperature") == 2
    known, shuffled = (float(line.split(": ")[1].split()[0]) for line in printed(scoring).splitlines() if line)
    assert known < shuffled
    assert printed(checking).endswith("True")


def check_log_lines(notebook: Any) -> None:
    (found,) = [int(text[0]) for text in map(printed, code(notebook)) if "odd lines are among" in text]
    assert found >= 4


def check_compression(notebook: Any) -> None:
    text = "".join(map(printed, code(notebook)))
    sizes = {
        name.strip(): int(size.replace(",", "")) for name, size in re.findall(r"^(.{20})\s*([\d,]+) bytes", text, re.M)
    }
    assert sizes["elman, mixture"] < sizes["elman, static"] < sizes["xz"]


def check_fine_tuning(notebook: Any) -> None:
    text = "".join(map(printed, code(notebook)))
    base, scratch, tuned = (float(loss) for loss in re.findall(r"([\d.]+) nats per character", text))
    assert tuned < base < scratch


CHECKS: dict[str, Callable[[Any], None]] = {
    "elman": check_first_model,
    "log_lines": check_log_lines,
    "compression": check_compression,
    "fine_tuning": check_fine_tuning,
}
"""What the prose of a notebook says of its outputs."""


@each_notebook
def test_the_stored_outputs_are_what_the_prose_says(path: Path) -> None:
    CHECKS.get(path.stem, lambda notebook: None)(read(path))


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
@each_notebook
def test_it_does_what_it_says(path: Path, tmp_path: Path) -> None:
    for extra in {"sweep": ["optuna"], "serving": ["openai", "starlette"]}.get(path.stem, []):
        pytest.importorskip(extra)
    stored, notebook = read(path), read(path)
    SCRIPT["execute"](notebook, tmp_path)
    SCRIPT["strip"](notebook)
    CHECKS.get(path.stem, lambda notebook: None)(notebook)
    for cell, before in zip(code(notebook), code(stored), strict=True):
        assert {output.output_type for output in cell.outputs} == {output.output_type for output in before.outputs}, (
            cell.source
        )
