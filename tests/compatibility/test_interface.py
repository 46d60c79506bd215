"""Names that programs depend on still exist: ``--json`` keys, HTTP fields, Prometheus metrics. More may be added."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from elman.report import pipeline
from elman.serve.app import create_app
from elman.serve.settings import Settings
from elman.training.gradcheck import REPORTED
from support.cli import Command
from support.compatibility import DATA, load
from support.openapi_fields import operations
from support.server import listening

INTERFACE = DATA / "interface"
JSON_KEYS = json.loads((INTERFACE / "json_keys.json").read_text("utf-8"))
SMALL = ["corpus.txt", "--hidden-size", 4]
TRAIN = ["train", *SMALL, "--max-updates", 20, "--preset", "reference", "--out", "OUT"]
COMMANDS: dict[str, list[object]] = {
    "train": TRAIN,
    "train with validation": [*TRAIN, "--validation", 0.1],
    "gradcheck": ["gradcheck", *SMALL, "--seq-length", 5],
    "gradcheck of two layers of gru": ["gradcheck", *SMALL, "--seq-length", 5, "--cell", "gru", "--layers", 2],
    "gradcheck of lstm": ["gradcheck", *SMALL, "--seq-length", 5, "--cell", "lstm", "--engine", "numpy"],
    "eval": ["eval", "runs/gru2", "corpus.txt"],
    "eval of unknown characters": ["eval", "runs/gru2", "other.txt"],
    "eval --adapt": ["eval", "runs/gru2", "other.txt", "--adapt"],
    "score": ["score", "runs/gru2", "corpus.txt", "--worst", 1],
    "compress": ["compress", "corpus.txt", "--model", "runs/gru2", "--out", "OUT"],
    "explain": ["explain", "runs/gru2", "corpus.txt", "--out", "OUT"],
    "explain of unknown characters": ["explain", "runs/gru2", "other.txt", "--out", "OUT"],
    "report": ["report", "corpus.txt", "--out", "OUT", "--epochs", 1, "--long-epochs", 2],
}
"""The commands whose keys were recorded."""
REMOVED = {("versions.scipy", "string")}
"""Keys that were recorded and are gone: the version of a library that is no longer a dependency."""


def keys(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Return the paths of a JSON value's keys, such as ``things[].name``, each with its kind of value."""
    if isinstance(value, dict):
        return {pair for name, item in value.items() for pair in keys(item, f"{path}.{name}" if path else name)}
    if isinstance(value, list):
        return {(path, "array")} | {pair for item in value for pair in keys(item, f"{path}[]")}
    kinds = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return {(path, kinds[type(value)])}


@pytest.mark.usefixtures("_in_data")
@pytest.mark.parametrize("name", COMMANDS)
def test_json_has_its_keys(name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "REPORTED", REPORTED[:1])  # one gradient check takes less time, and has the same keys
    ended = command(*(tmp_path / "out" if word == "OUT" else word for word in COMMANDS[name]), "--json")
    assert ended.code == 0
    assert set(JSON_KEYS[name].items()) - keys(json.loads(ended.out)) == (REMOVED if name == "report" else set())


def test_every_recorded_command_is_tried() -> None:
    assert COMMANDS.keys() == JSON_KEYS.keys()


def test_http_has_its_paths_fields_and_errors() -> None:
    recorded = json.loads((INTERFACE / "http_fields.json").read_text("utf-8"))
    models = {run: load(run) for run in ("rnn-paper", "gru2", "lstm")}
    with listening(create_app(models, Settings())) as client:
        now = operations(client.get("/openapi.json").json())
    for operation, parts in recorded.items():
        for part, fields in parts.items():
            assert set(fields) <= set(now[operation][part]), (operation, part)


METRIC = re.compile(r"(?P<name>\w+)(\{(?P<labels>[^}]*)\})? ")


def test_prometheus_has_its_names_and_labels() -> None:
    with listening(create_app({"gru2": load("gru2")}, Settings())) as client:
        client.post("/v1/completions", json={"model": "gru2", "prompt": "the ", "max_tokens": 5}).raise_for_status()
        lines = client.get("/metrics").text.splitlines()
    kinds = dict(line.split()[2:] for line in lines if line.startswith("# TYPE "))
    metrics = [match for match in map(METRIC.match, lines) if match]
    for line in (INTERFACE / "prometheus_names.txt").read_text("utf-8").splitlines():
        name, kind, labels = line.split()
        assert kinds[name] == kind
        shown = [set(re.findall(r'(\w+)="', match["labels"] or "")) for match in metrics
                 if match["name"].removesuffix("_bucket") == name]  # fmt: skip
        # A metric with labels is shown once something was counted; here no client has disconnected.
        assert shown or name == "elman_clients_left_total", name
        assert all(set(labels.strip("{}").split(",")) <= found for found in shown), name
