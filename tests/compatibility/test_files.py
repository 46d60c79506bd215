"""Files of an earlier version: they load, and give what that version computed from them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

import elman
from elman.compression.codec import compress_in_mode
from elman.compression.container import Mode
from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.inference import adaptation
from elman.inference.adaptation import DynamicEvaluation, OnProgress, recurrent_rms
from elman.inference.score import Score
from elman.network import Parameters
from elman.network.parameters import Array, architecture
from elman.serve.app import create_app
from elman.serve.settings import Settings
from support.cli import Command
from support.compatibility import (
    DATA,
    FORWARD,
    LEARNING,
    RUNS,
    assert_agrees,
    assert_same_arrays,
    current,
    current_words,
    input_bytes,
    load,
    read_arrays,
    read_text,
    recorded,
)
from support.server import listening
from support.tolerances import COMPILED_FLOAT32, ROUNDED

MODELS = recorded("models")
IMPORTS = recorded("imports")
COMPRESSED = recorded("compressed")
FORMER_MODES = {
    Mode.ADAPTIVE,
    Mode.ADAPTIVE_BOTH,
    Mode.BITWISE_FEW,
    Mode.BITWISE_PARAGRAPHS,
    Mode.MIXTURE_ALL,
    Mode.BITWISE_ALL,
}
OTHER_FILES = {"ngram-substreams-bitwise.elm", "gru2-corpus-1.16.elm"}
"""Of a mode that depends on the length of the text, with another length."""
FORMER_FILES = {case["file"] for case in COMPRESSED if case["mode"] in FORMER_MODES} | OTHER_FILES
WRITTEN_AS_BEFORE = [case for case in COMPRESSED if case["file"] not in FORMER_FILES]
"""Files that `compress` still writes. Training of the weights has new modes, and so has bitwise context mixing of long
texts."""
IN_FORMER_MODES = [case for case in COMPRESSED if case["file"] in FORMER_FILES]


@pytest.fixture
def _former_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dynamic evaluation have the learning rate that it had when the results were recorded."""

    original = adaptation.score_dynamic

    def score_dynamic(
        engine: Engine, parameters: Parameters, h0: Array, indices: Indices, on_progress: OnProgress | None = None
    ) -> Score:
        relative_rate = 0.15 / (math.sqrt(architecture(parameters).m) * recurrent_rms(parameters))
        settings = DynamicEvaluation(relative_rate=relative_rate)
        return original(engine, parameters, h0, indices, settings, on_progress)

    monkeypatch.setattr(adaptation, "score_dynamic", score_dynamic)


# --- Load ---


@pytest.mark.parametrize("run", MODELS)
def test_loading_changes_no_bit(run: str) -> None:
    model, expected = load(run), MODELS[run]
    stored, prefix = read_arrays(RUNS / run / expected["file"]), expected["prefix"]
    names = model.parameters.keys()
    assert_same_arrays(model.parameters, {name: stored[prefix + name] for name in names})
    # The state is that of the network that is used: stored with the best network, else of the last row of the batch.
    h = stored["best.h" if prefix == "best." else "h"]
    assert_same_arrays({"h": model.h}, {"h": h if h.ndim == 1 else h[-1]})
    assert model.alphabet.characters == expected["alphabet"]
    assert (str(model.h.dtype), model.engine.name) == (expected["dtype"], expected["engine"])


# --- Sample ---


@pytest.mark.parametrize("run", MODELS)
def test_sampled_texts_are_the_same(run: str) -> None:
    for case in recorded("samples"):
        if case["run"] == run:
            result = getattr(load(run), case["method"])(**current(case["options"]))
            assert (result if case["method"] != "beam" else "".join(result)) == case["result"], case


@pytest.mark.parametrize("run", [run for run in MODELS if MODELS[run]["engine"] == "numba"])
def test_the_other_engine_samples_the_same(run: str) -> None:
    for case in recorded("samples"):
        if case["run"] == run and case["options"]["length"] <= 200:
            result = getattr(load(run, "numpy"), case["method"])(**current(case["options"]))
            assert (result if case["method"] != "beam" else "".join(result)) == case["result"], case


# --- Score, explain ---


@pytest.mark.usefixtures("_former_rate")
@pytest.mark.parametrize("run", MODELS)
def test_scores_agree(run: str) -> None:
    for case in recorded("scores"):
        if case["run"] == run:
            score = load(run, case["engine"]).score(read_text(case["text"]), adapt=case["adapt"])
            tolerances = LEARNING if case["adapt"] else FORWARD
            assert (score.chars, score.unknown) == (case["chars"], case["unknown"]), case
            assert score.nats == pytest.approx(case["nats"], rel=tolerances[MODELS[run]["dtype"]]), case


@pytest.mark.usefixtures("_in_data")
@pytest.mark.parametrize("case", recorded("lines"), ids=lambda case: " ".join([case["run"], *case["arguments"]]))
def test_scores_of_lines_agree(command: Command, case: dict[str, Any]) -> None:
    out = command("score", f"runs/{case['run']}", *current_words(case["arguments"]), "--json").out
    keys = ("line", "chars", "nats_per_char", "worst_column", "worst_char", "worst_nats")
    lines = [[row[key] for key in keys] for row in map(json.loads, out.splitlines())]
    assert_agrees(lines, case["lines"], FORWARD[MODELS[case["run"]]["dtype"]])


@pytest.mark.usefixtures("_in_data")
@pytest.mark.parametrize("case", recorded("explain"), ids=lambda case: f"{case['run']} {case['text']}")
def test_explanations_agree(command: Command, tmp_path: Path, case: dict[str, Any]) -> None:
    ended = command("explain", f"runs/{case['run']}", case["text"], "--out", tmp_path / "page.html", "--json")
    figures = json.loads(ended.out)
    things = [
        [thing["name"], thing["measure"], [list(unit.values()) for unit in thing["best"][:2]]]
        for thing in figures["things"]
    ]
    assert_agrees(figures, case["figures"], FORWARD[MODELS[case["run"]]["dtype"]])
    assert_agrees(things, case["things"], 0, ROUNDED)


# --- Commands, server ---


@pytest.mark.usefixtures("_in_data", "_former_rate")
@pytest.mark.parametrize("case", recorded("commands"), ids=lambda case: " ".join(case["arguments"]))
def test_commands_print_the_same(command: Command, case: dict[str, Any]) -> None:
    ended = command(*current_words(case["arguments"]))
    assert ended.code == 0
    if "--json" in case["arguments"]:
        relative = LEARNING if "--adapt" in case["arguments"] else FORWARD
        assert_agrees(json.loads(ended.out), json.loads(case["stdout"]), relative["float32"])
    else:
        assert ended.out == case["stdout"]


def test_the_server_answers_the_same() -> None:
    models = {run: load(run) for run in ("rnn-paper", "gru2", "lstm")}
    with listening(create_app(models, Settings())) as client:
        for case in recorded("http"):
            response = client.request(case["method"], case["path"], json=case["body"])
            assert response.status_code == case["status"]
            assert_agrees(response.json(), case["json"], COMPILED_FLOAT32, where=case["path"])


# --- Import, export ---


@pytest.mark.parametrize("name", sorted(name for name in IMPORTS if not name.startswith("plain-")))
def test_exported_files_import(name: str) -> None:
    exported = load(Path(name).stem)
    assert_imports(name, None, {**exported.parameters, "h": exported.h})


@pytest.mark.parametrize("name", sorted(name for name in IMPORTS if name.startswith("plain-")))
def test_plain_state_dicts_import(name: str) -> None:
    alphabet = (DATA / "exports" / "plain-alphabet.txt").read_bytes().decode()
    assert_imports(name, alphabet, read_arrays(DATA / "imported" / name))


def assert_imports(name: str, alphabet: str | None, arrays: dict[str, NDArray[Any]]) -> None:
    """The file holds these arrays, and samples as recorded."""
    model = elman.import_(DATA / "exports" / name, alphabet=alphabet)
    assert_same_arrays({**model.parameters, "h": model.h}, arrays)
    assert model.alphabet.characters == IMPORTS[name]["alphabet"]
    assert model.sample(**current({"length": 60, "random_state": 1})) == IMPORTS[name]["sample"]


@pytest.mark.parametrize("name", ["gru2.safetensors", "lstm.npz"])
def test_exporting_again_gives_the_same_file(name: str, tmp_path: Path) -> None:
    elman.export(load(Path(name).stem), tmp_path / name)
    assert (tmp_path / name).read_bytes() == (DATA / "exports" / name).read_bytes()


# --- Decompress, compress ---


@pytest.mark.parametrize("case", COMPRESSED, ids=lambda case: case["file"])
def test_compressed_files_decompress(command: Command, tmp_path: Path, case: dict[str, Any]) -> None:
    path, out = DATA / "compressed" / case["file"], tmp_path / "out"
    assert command("decompress", path, "--model", RUNS / case["run"], "--out", out).code == 0
    assert out.read_bytes() == input_bytes(case["input"])


@pytest.mark.parametrize("case", WRITTEN_AS_BEFORE, ids=lambda case: case["file"])
def test_compressing_again_gives_the_same_file(command: Command, tmp_path: Path, case: dict[str, Any]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(input_bytes(case["input"]))
    adapt = {True: ["--adapt"], False: []}.get(case["adapt"], ["--adapt", case["adapt"]])
    ended = command("compress", source, "--model", RUNS / case["run"], "--out", out, "--json", *adapt)
    assert out.read_bytes() == (DATA / "compressed" / case["file"]).read_bytes()
    assert json.loads(ended.out).items() >= case.get("figures", {}).items()


@pytest.mark.parametrize("case", IN_FORMER_MODES, ids=lambda case: case["file"])
def test_a_former_mode_gives_the_same_file(case: dict[str, Any]) -> None:
    file = compress_in_mode(load(case["run"]), input_bytes(case["input"]), Mode(case["mode"]))
    assert file == (DATA / "compressed" / case["file"]).read_bytes()


def test_a_file_of_several_members_decompresses(command: Command, tmp_path: Path) -> None:
    path, out = DATA / "compressed" / "ngram-members.elm", tmp_path / "out"
    assert command("decompress", path, "--model", RUNS / "ngram", "--out", out).code == 0
    assert out.read_bytes() == 2 * (DATA / "other.txt").read_bytes()
