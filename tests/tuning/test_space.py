"""The settings of a sweep: search spaces and what they may contain, and which settings are refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from elman.errors import ElmanError
from elman.presets import PRESETS
from elman.tuning.space import (
    Dimension,
    SweepSettings,
    create_settings,
    default_space,
    grid_size,
    parse_space,
    read_space,
)

FILE = """
cell = ["gru", "lstm"]
hidden_size = {low = 4, high = 64, log = true}
layers = {low = 1, high = 3}
dropout = {low = 0, high = 0.5, step = 0.2}
learning_rate = {low = 1e-3, high = 0.1, log = true}
"""


def parse(**table: Any) -> tuple[Dimension, ...]:
    """Parse a space around the reference experiment."""
    return parse_space(table, "reference", {"max_updates": 10})


def test_a_space_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FILE, encoding="utf-8")
    space = read_space(path, "reference", {})
    assert space == (
        Dimension("cell", ("gru", "lstm")),
        Dimension("hidden_size", low=4, high=64, log=True),
        Dimension("layers", low=1, high=3, step=1),
        Dimension("dropout", low=0.0, high=0.4, step=0.2),
        Dimension("learning_rate", low=0.001, high=0.1, log=True),
    )


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ({"hiden_size": [3]}, "space: unknown setting 'hiden_size'; did you mean hidden_size?"),
        ({"hidden_size": [3, 0]}, "space: hidden_size must be at least 1 (got 0)"),
        ({"hidden_size": [2.5]}, "space: hidden_size must be an integer (got 2.5)"),
        ({"cell": ["gru", "mlp"]}, "space: cell must be one of rnn, gru, lstm (got mlp)"),
        ({"cell": ["gru\n"]}, "space: cell must be one of rnn, gru, lstm (got gru )"),
        ({"dropout": {"low": 0, "high": 0.5, "step": 5e-324}}, "space: step of dropout is too small (got 5e-324)"),
        ({"hidden_size": []}, "space: hidden_size has no choices"),
        ({"hidden_size": [3, 3]}, "space: a choice of hidden_size is listed twice (got [3, 3])"),
        ({"hidden_size": [[3]]}, "space: the choices of hidden_size must be numbers or strings (got [3])"),
        ({"hidden_size": 3}, "space: hidden_size must be a list of choices or a table with low and high (got 3)"),
        ({"max_updates": [3]}, "space: max_updates is also fixed by max_updates; remove one of them"),
        ({"validation": [0.1]}, "space: validation cannot be varied: trials would be compared on different texts"),
        ({"dropout": {"low": 0.5, "high": 0.5}}, "space: the range of dropout is empty (low 0.5, high 0.5)"),
        ({"dropout": {"low": 0, "high": 1.5}}, "space: dropout must be less than 1, such as 0.4 (got 1.5)"),
        ({"dropout": {"low": 0}}, "space: the range of dropout has no high"),
        ({"dropout": {"low": 0, "high": "x"}}, "space: high of dropout must be a number (got 'x')"),
        ({"dropout": {"low": 0, "high": True}}, "space: high of dropout must be a number (got True)"),
        ({"dropout": {"low": 0, "high": 0.5, "log": True}}, "space: the log range of dropout requires low > 0 (got 0)"),
        ({"dropout": {"low": 0.1, "high": 0.5, "log": 1}}, "space: log of dropout must be true or false (got 1)"),
        (
            {"dropout": {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}},
            "space: the log range of dropout requires no step",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.5, "step": 0}},
            "space: step of dropout must be from 0 to high - low (got 0)",
        ),
        ({"layers": {"low": 1, "high": 2.5}}, "space: the range of layers must have integers (got 2.5)"),
        (
            {"dropout": {"low": 0, "hi": 1}},
            "space: dropout has the unknown key 'hi'; a range has low, high, log and step",
        ),
        ({}, "the search space is empty; list at least one setting"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(table: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ElmanError, match=f"^{re.escape(mistake)}$"):
        parse(**table)


def test_every_mistake_is_listed() -> None:
    with pytest.raises(ElmanError, match=r"^space: hidden_size .*; space: hidden_size .*; space: cell [^;]*$"):
        parse(hidden_size=[0, -1], layers=[1, 2], cell=["mlp"])


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"cannot read '.*' \(No such file"), (b"\xff", "is not a TOML file"), (b"a = [", "is not a TOML file")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "space.toml").write_bytes(content)
    with pytest.raises(ElmanError, match=message):
        read_space(tmp_path / "space.toml", "reference", {})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_space_of_a_preset_is_valid(preset: str) -> None:
    space = default_space(preset, {"seq_length": 10})
    assert {"learning_rate", "hidden_size", "batch_size", "dropout"} <= {each.name for each in space}
    assert "seq_length" not in {each.name for each in space}
    assert parse_space({each.name: each.as_dict() for each in space}, preset, {}) == space


def test_a_grid_has_the_values_of_every_setting() -> None:
    space = parse(hidden_size={"low": 1, "high": 3}, dropout={"low": 0, "high": 0.5, "step": 0.25}, cell=["gru", "rnn"])
    assert [each.values for each in space] == [[1, 2, 3], [0.0, 0.25, 0.5], ["gru", "rnn"]]
    assert grid_size(space) == 18
    with pytest.raises(ElmanError, match=r"^sampler grid needs choices or a step for dropout \(got a range\)$"):
        grid_size(parse(dropout={"low": 0, "high": 0.5}))
    with pytest.raises(ElmanError, match=r"^sampler grid must have at most 100,000 points \(got 1(,000){4}\)$"):
        grid_size(parse(hidden_size={"low": 1, "high": 10**6}, layers={"low": 1, "high": 10**6}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "cmaes"}, "sampler must be one of tpe, random, grid (got 'cmaes')"),
        ({"pruner": "median"}, "pruner must be one of halving, none (got 'median')"),
        ({"seed": -1}, "sampler_seed must be from 0 to 4294967295 (got -1)"),
        (
            {"options": {"validation": 0}},
            "a sweep compares validation losses: validation must be greater than 0 (got 0)",
        ),
        ({"sampler": "grid"}, "sampler grid needs choices or a step for learning_rate (got a log range)"),
        ({"preset": "nope"}, "unknown preset 'nope'; choose from reference, steady, quick, minute, strong"),
    ],
    ids=str,
)
def test_settings_that_are_refused(changes: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"preset": "reference", "options": {}, "sampler": "tpe", "pruner": "none", "seed": 0}
    with pytest.raises(ElmanError, match=f"^{re.escape(message)}$"):
        create_settings(SweepSettings(corpus="text", space=(), **settings | changes), None)
