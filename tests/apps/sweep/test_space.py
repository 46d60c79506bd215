"""The settings of a sweep: search spaces and what they may contain, and which settings are refused."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from elman.apps.sweep.space import create_distribution, create_grid, default_space, fix_options, parse_space
from elman.apps.sweep.sweep import sweep
from elman.config import make_config
from elman.errors import ElmanError
from elman.recipe import PRESETS
from elman.storage.files import read_toml
from elman.text import Corpus

FILE = """
cell = ["GRU", "lstm"]
hidden_size = {low = 4, high = 64, log = true}
layers = {low = 1, high = 3}
dropout = {low = 0, high = 0.5, step = 0.2}
learning_rate = {low = 1e-3, high = 0.1, log = true}
"""
EITHER = "a list of choices, or a table with low and high and optionally log or step"
NOT_COMPARED = "cannot be varied: losses on different texts or alphabets cannot be compared"
NEITHER: list[Any] = [[], 3, {"low": 1}, {"low": 1, "high": 2, "lgo": True}]
NEITHER += [
    {"low": 1, "high": 2, "log": 1},
    {"low": 1, "high": 2, "step": "a"},
    {"low": 1, "high": 2, "step": math.nan},
]


def parse(**table: Any) -> dict[str, Any]:
    return parse_space(table, "reference", {"max_updates": 10})


def test_a_space_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(FILE, encoding="utf-8")
    space = parse_space(read_toml(path), "reference", {})
    assert {name: create_distribution(name, values) for name, values in space.items()} == {
        "cell": CategoricalDistribution(("gru", "lstm")),
        "hidden_size": IntDistribution(4, 64, log=True),
        "layers": IntDistribution(1, 3),
        "dropout": FloatDistribution(0.0, 0.4, step=0.2),
        "learning_rate": FloatDistribution(0.001, 0.1, log=True),
    }


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ({"hiden_size": [3]}, "unknown setting 'hiden_size'; did you mean hidden_size?"),
        ({"hidden_size": [3, -1]}, "hidden_size must be at least 0 (got -1)"),
        ({"hidden_size": [1 << 60]}, "hidden_size must be at most 9007199254740992 (got 1152921504606846976)"),
        ({"cell": ["gru\n"]}, "cell must be one of gru, lstm, rnn (got gru)"),
        ({"max_updates": [3]}, "max_updates is also fixed by max_updates; remove one of them"),
        ({"validation": [0.1]}, f"validation {NOT_COMPARED}"),
        ({"min_count": [1, 2]}, f"min_count {NOT_COMPARED}"),
        ({"dropout": {"low": 0, "high": 1.5}}, "dropout must be less than 1, such as 0.4 (got 1.5)"),
        ({"dropout": {"low": 0, "high": "x"}}, "dropout must be a number (got 'x')"),
        ({"layers": {"low": 1, "high": 2.5}}, "layers must be an integer (got 2.5)"),
        *(({"layers": values}, f"layers must be {EITHER} (got {values!r})") for values in NEITHER),
        *(
            ({"dropout": {"low": 0, "high": 0.5} | more}, f"the range of dropout is not valid ({problem})")
            for more, problem in (
                ({"low": 0.75}, "`low <= high` must hold, but got (low=0.75, high=0.5)."),
                ({"log": True}, "`low > 0` must hold for `log=True`, but got (low=0.0, high=0.5)."),
                ({"step": 0}, "`step > 0` must hold, but got step=0."),
            )
        ),
        (
            {"mixed_precision": {"low": False, "high": True}},
            "mixed_precision is true or false, which has no range: pass [true, false]",
        ),
        ({"layers": {"low": 1, "high": 3, "step": 0.5}}, "the step of layers must be an integer (got 0.5)"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(table: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ElmanError, match=f"^space: {re.escape(mistake)}$"):
        parse(**table)


def test_the_seed_of_lines_chooses_the_validation_set(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a\nb\n", encoding="utf-8")
    table, options = {"seed": [1, 2]}, {"lines": True}
    with pytest.raises(ElmanError, match=r"^space: seed cannot be varied: it chooses the lines of the validation set;"):
        parse_space(table, "reference", options | {"validation": 0.1})
    assert parse_space(table, "reference", options | {"validation": str(tmp_path / "text.txt")}) == table


def test_a_space_may_not_be_empty() -> None:
    with pytest.raises(ElmanError, match=r"^the search space is empty: pass space with at least one setting$"):
        parse()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read '.*' \(No such file"),
        (b"\xff", "is not a TOML file"),
        (b"a = [", "is not a TOML file"),
        (b"a = " + b"[" * 100_000, r"TOML file of options \(it is nested too deeply\)$"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "space.toml").write_bytes(content)
    with pytest.raises(ElmanError, match=message):
        read_toml(tmp_path / "space.toml")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_space_of_a_preset_is_valid(preset: str) -> None:
    space = default_space(preset, {"seq_length": 10})
    of_counts, of_network = (
        {"ngram_order", "ngram_min_count"},
        {"learning_rate", "hidden_size", "batch_size", "dropout"},
    )
    assert space.keys() == (of_counts if preset == "counts" else of_network)
    assert parse_space(space, preset, {}) == space


def test_a_grid_has_the_values_of_every_setting() -> None:
    space = parse(hidden_size={"low": 1, "high": 3}, dropout={"low": 0, "high": 0.5, "step": 0.25}, cell=["gru", "rnn"])
    assert create_grid(space) == {"hidden_size": [1, 2, 3], "dropout": [0.0, 0.25, 0.5], "cell": ["gru", "rnn"]}
    with pytest.raises(ElmanError, match=r"^sampler='grid' needs choices or a step for dropout \(got a range\)$"):
        create_grid(parse(dropout={"low": 0, "high": 0.5}))
    with pytest.raises(ElmanError, match=r"^sampler='grid' must have at most 100,000 points$"):
        create_grid(parse(hidden_size={"low": 1, "high": 10**6}, layers={"low": 1, "high": 10**6}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials must be at least 1 (got 0)"),
        ({"trials": None}, "a sweep requires a limit: pass trials or total_seconds"),
        ({"total_seconds": 0}, "total_seconds must be a number greater than 0 (got 0)"),
        ({"total_seconds": "1h"}, "total_seconds must be a number (got '1h')"),
        ({"workers": 9999}, "workers must be from 1 to "),
        ({"sampler": "cmaes"}, "sampler must be one of tpe, random, grid (got 'cmaes')"),
        ({"pruner": "median"}, "pruner must be one of halving, none (got 'median')"),
        ({"sampler_seed": -1}, "sampler_seed must be from 0 to 4,294,967,295 (got -1)"),
        ({"validation": 0}, "a sweep compares validation losses: validation must be greater than 0 (got 0)"),
        ({"sampler": "grid"}, "sampler='grid' needs choices or a step for learning_rate (got a log range)"),
        ({"preset": "nope"}, f"unknown preset 'nope'; choose from {', '.join(PRESETS)}"),
        ({"corpus": Corpus.from_text("a text")}, "a sweep reads a file or a built-in text (got Corpus)"),
    ],
    ids=str,
)
def test_settings_that_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"corpus": "text", "out": tmp_path / "sweep", "trials": 1} | changes
    with pytest.raises(ElmanError, match=f"^{re.escape(message)}"):
        sweep(**arguments)
    assert not (tmp_path / "sweep").exists()


def test_the_network_does_not_depend_on_the_speed_that_a_trial_measures() -> None:
    def units(preset: str, space: dict[str, Any], **options: Any) -> Any:
        return fix_options(preset, options, space).get("hidden_size")

    assert units("minute", {"dropout": [0.0, 0.1]}) == make_config("minute").hidden_size
    assert units("minute", {"dropout": [0.0, 0.1]}, hidden_size=3) == 3
    assert units("minute", {"hidden_size": [3, 4]}) is units("reference", {"dropout": [0.0, 0.1]}) is None
