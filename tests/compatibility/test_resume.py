"""Runs of an earlier version resume, and continue as that version would have."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import elman
from support.cli import Command
from support.compatibility import (
    DATA,
    LEARNING,
    RUNS,
    assert_agrees,
    assert_same_arrays,
    copy_run,
    read_arrays,
    read_lines,
    read_metadata,
    recorded,
)
from support.tolerances import largest_relative_error

EXPECTED = recorded("resume")
CHECKPOINT, METRICS, SAMPLES = "checkpoint.safetensors", "metrics.csv", "samples.jsonl"
GENERATORS = ("initial_generator", "sample_generator")


def read_config(run: Path) -> dict[str, Any]:
    """Return the settings in a run.json."""
    config: dict[str, Any] = json.loads((run / "run.json").read_text("utf-8"))["config"]
    return config


def read_metrics(run: Path) -> list[list[Any]]:
    """Return the rows of metrics.csv without the two columns of time."""
    rows = list(csv.reader((run / METRICS).read_text("utf-8").splitlines()))[1:]
    return [[int(update), int(epoch), *(float(loss) if loss else "" for loss in losses[:3])]
            for update, epoch, *losses in rows]  # fmt: skip


@pytest.fixture(scope="module", params=EXPECTED)
def resumed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A run, and a copy of it that was resumed for ten updates; of `begun`, which has no checkpoint, to its end."""
    name: str = request.param
    copy = copy_run(name, tmp_path_factory.mktemp("resumed"))
    limit = EXPECTED[name]["max_updates"]
    options = {} if limit is None else {"max_updates": limit}
    elman.train(DATA / EXPECTED[name]["text"], out=copy, resume=True, **options)
    return name, copy


def tolerance(name: str) -> float:
    """Return the relative error of what a few updates of a run leave."""
    return LEARNING[read_config(RUNS / name).get("dtype", "float32")]


def test_counters_and_losses_agree(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    metadata, expected = read_metadata(copy / CHECKPOINT), EXPECTED[name]
    assert metadata["counters"] == expected["counters"]
    assert_agrees(metadata["figures"], expected["figures"], tolerance(name))
    assert_agrees(metadata["best"], expected["best"], tolerance(name))


def test_generators_are_where_they_were(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    if name != "begun":  # which has no checkpoint; no other run samples a text within ten updates
        before, after = read_metadata(RUNS / name / CHECKPOINT), read_metadata(copy / CHECKPOINT)
        assert {key: after[key] for key in GENERATORS} == {key: before[key] for key in GENERATORS}


def test_weights_agree(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    expected, actual = read_arrays(DATA / "resumed" / f"{name}.safetensors"), read_arrays(copy / CHECKPOINT)
    for array in expected:
        assert largest_relative_error(actual[array], expected[array]) < tolerance(name), array


def test_metrics_continue(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    rows = read_metrics(copy)
    assert len(rows) == EXPECTED[name]["metrics_rows"]
    assert_agrees(rows[-3:], EXPECTED[name]["metrics_last"], tolerance(name))
    if "learning_rates" in EXPECTED[name]:
        rates = [[row["update"], row["learning_rate"]] for row in read_lines(copy / "metrics.jsonl")]
        assert rates == EXPECTED[name]["learning_rates"]


def test_samples_continue(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    rows = [[row["update"], row["smooth_loss"], row["text"]] for row in read_lines(copy / SAMPLES)]
    assert_agrees(rows, EXPECTED[name]["samples"], tolerance(name))


def test_settings_stay_but_for_the_limit(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    before, after = read_config(RUNS / name), read_config(copy)
    assert before.keys() <= after.keys()
    limit = EXPECTED[name]["max_updates"]
    changed = before if limit is None else before | {"max_updates": limit}
    assert {key: after[key] for key in before} == changed


def test_the_best_network_is_still_the_one_that_is_used(resumed: tuple[str, Path]) -> None:
    name, copy = resumed
    model, best = elman.load(copy), copy / "best.safetensors"
    assert best.exists() == (EXPECTED[name]["best"] is not None)
    if best.exists():
        assert_same_arrays({**model.parameters, "h": model.h}, read_arrays(best))
    if name == "gru2":  # no better one was found
        assert_same_arrays(read_arrays(best), read_arrays(RUNS / name / "best.safetensors"))


@pytest.mark.usefixtures("_in_data")
@pytest.mark.parametrize("name", ["gru2", "lstm", "begun"])
def test_the_command_resumes_alike(name: str, tmp_path: Path, command: Command) -> None:
    expected, copy = EXPECTED[name], copy_run(name, tmp_path)
    limit = [] if expected["max_updates"] is None else ["--max-updates", expected["max_updates"]]
    ended = command("train", expected["text"], "--out", copy, "--resume", *limit, "--json")
    assert ended.code == 0
    assert_agrees(json.loads(ended.out), expected["results"], tolerance(name))
