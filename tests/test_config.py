"""Settings: their defaults are the reference experiment, and what does not fit is refused by name."""

import re
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from elman.config import ADJUSTABLE, LIMITS, Config, flag, make_config
from elman.errors import ElmanError
from elman.presets import PRESETS

SETTINGS = [field.name for field in fields(Config)]


def line(message: str) -> str:
    """Return the pattern of exactly this message."""
    return f"^{re.escape(message)}$"


def test_the_defaults_are_the_reference_experiment() -> None:
    expected = {
        "hidden_size": 100,
        "seq_length": 25,
        "learning_rate": 0.1,
        "clip": 5.0,
        "init_std": 0.1,
        "batch_size": 1,
        "layers": 1,
        "epochs": 10,
        "random_state": 400,
        "sample_every": 10_000,
        "sample_length": 200,
        "cell": "rnn",
        "optimizer": "adagrad",
        "validation": 0.0,
        "max_updates": None,
        "max_seconds": None,
        "clip_by": "value",
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0,
        "averaging": 0.0,
        "dropout": 0.0,
        "init": "normal",
        "patience": 0,
        "validate_every": 0,
    }
    assert Config().as_dict() == Config().as_dict() | expected


def test_the_preset_paper_is_the_defaults() -> None:
    assert make_config() == make_config("paper") == Config()


def test_a_setting_replaces_that_of_the_preset() -> None:
    assert make_config("paper", {"hidden_size": 7}) == Config(hidden_size=7)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_configuration(preset: str) -> None:
    assert make_config(preset).as_dict() == Config().as_dict() | PRESETS[preset].settings


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_what_to_expect_in_one_line(preset: str) -> None:
    assert re.fullmatch(r"[^\n]*\d[^\n]*[^.]", PRESETS[preset].says)


def test_the_presets_of_the_issue_are_there() -> None:
    assert list(PRESETS) == ["paper", "steady", "quick", "minute", "strong"]
    assert PRESETS["paper"].settings == {}


def test_steady_is_the_network_of_paper_and_as_many_updates() -> None:
    paper, steady = make_config("paper"), make_config("steady")
    for name in ("cell", "hidden_size", "layers", "seq_length", "batch_size", "epochs", "max_updates", "max_seconds"):
        assert getattr(steady, name) == getattr(paper, name)


@pytest.mark.parametrize("limit", [{"epochs": 3}, {"max_updates": 9}, {"max_seconds": 7.0}], ids=str)
def test_a_limit_that_is_given_takes_the_place_of_the_presets(limit: dict[str, Any]) -> None:
    found = make_config("minute", limit)
    assert (found.max_updates, found.max_seconds) == (limit.get("max_updates"), limit.get("max_seconds"))
    assert found.epochs == limit.get("epochs", PRESETS["minute"].settings["epochs"])


def test_a_preset_without_its_validation_scores_nothing() -> None:
    found = make_config("minute", {"validation": 0.0})
    assert (found.validate_every, found.patience) == (0, 0)


@pytest.mark.parametrize("setting", ["patience", "validate_every"])
@pytest.mark.parametrize("preset", ["paper", "minute"])
def test_a_setting_that_needs_a_text_kept_aside(preset: str, setting: str) -> None:
    expected = (
        f"{flag(setting)} needs a text kept aside, and {flag(setting)} 3 came with none: "
        f"give --validation 0.1 as well, or leave {flag(setting)} out"
    )
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(preset, {setting: 3, "validation": 0.0})


def test_the_characters_of_an_update() -> None:
    assert Config(batch_size=3, seq_length=7).chars_per_update == 21


@pytest.mark.parametrize("field", fields(Config), ids=SETTINGS)
def test_every_setting_has_help(field: Any) -> None:
    assert re.fullmatch(r"[A-Z].*\.", field.metadata["help"])


def test_the_limits_are_settings() -> None:
    assert set(SETTINGS) >= LIMITS == {"epochs", "max_updates", "max_seconds"}
    assert {*LIMITS, "patience"} == ADJUSTABLE


def test_a_flag_is_written_with_hyphens() -> None:
    assert flag("max_updates") == "--max-updates"


def test_settings_survive_a_dictionary() -> None:
    config = Config(hidden_size=3, max_updates=4, dtype="float64")
    assert Config(**config.as_dict()) == config


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().hidden_size = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("hidden_size", 0, "1 or more"),
        ("seq_length", 0, "1 or more"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", -0.1, "above 0"),
        ("clip", 0.0, "above 0"),
        ("init_std", -0.1, "0 or more"),
        ("epochs", 0, "1 or more"),
        ("max_updates", 0, "1 or more"),
        ("max_seconds", 0.0, "above 0"),
        ("validation", -0.1, "0 or more"),
        ("random_state", -1, "0 or more"),
        ("sample_every", -1, "0 or more"),
        ("sample_length", 0, "1 or more"),
        ("metrics_every", 0, "1 or more"),
        ("layers", 0, "1 or more"),
        ("batch_size", 0, "1 or more"),
        ("beta1", -0.1, "0 or more"),
        ("beta2", -0.1, "0 or more"),
        ("weight_decay", -0.1, "0 or more"),
        ("warmup", -1, "0 or more"),
        ("averaging", -0.1, "0 or more"),
        ("dropout", -0.1, "0 or more"),
        ("patience", -1, "0 or more"),
        ("validate_every", -1, "0 or more"),
    ],
)
def test_a_number_out_of_range(setting: str, value: float, needed: str) -> None:
    expected = f"{flag(setting)} must be {needed}, and {value} came: give a number in that range"
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("validation", 1.0, "--validation must be below 1, and 1.0 came: give a share such as 0.1"),
        ("dropout", 1.0, "--dropout must be below 1, and 1.0 came: give a share such as 0.4"),
        ("averaging", 1.0, "--averaging must be below 1, and 1.0 came: give a share such as 0.999"),
        ("beta1", 1.0, "--beta1 must be below 1, and 1.0 came: give a share such as 0.9"),
        ("beta2", 5.0, "--beta2 must be below 1, and 5.0 came: give a share such as 0.999"),
        ("metrics_every", 1001, "--metrics-every must be at most 1000, and 1001 came: give less"),
        ("random_state", 2**32, "--random-state must be below 2**32, and 4294967296 came: give less"),
    ],
)
def test_a_number_too_large(setting: str, value: float, expected: str) -> None:
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={setting: value})


@pytest.mark.parametrize("setting", ["learning_rate", "clip", "init_std", "max_seconds", "validation", "weight_decay"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite(setting: str, value: float) -> None:
    with pytest.raises(ElmanError, match=f"^{flag(setting)} must be .*, and {value} came"):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("cell", "transformer", "rnn or gru or lstm"),
        ("optimizer", "lion", "adagrad or rmsprop or adam or adamw or sgd"),
        ("clip_by", "hand", "value or norm"),
        ("schedule", "linear", "constant or cosine or step"),
        ("dropout_kind", "zoneout", "variational or plain"),
        ("init", "zeros", "normal or orthogonal"),
        ("engine", "torch", "numba or numpy"),
        ("dtype", "float16", "float32 or float64"),
    ],
)
def test_a_choice_that_there_is_not(setting: str, value: Any, needed: str) -> None:
    expected = f"{flag(setting)} must be {needed}, and {value} came: give one of them"
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_size", 1),
        ("seq_length", 1),
        ("learning_rate", 1e-300),
        ("init_std", 0.0),
        ("max_updates", None),
        ("max_seconds", None),
        ("validation", 0.0),
        ("validation", 0.999),
        ("random_state", 0),
        ("random_state", 2**32 - 1),
        ("sample_every", 0),
        ("metrics_every", 1),
        ("metrics_every", 1000),
    ],
)
def test_the_ends_of_the_ranges_are_in_them(setting: str, value: float | None) -> None:
    assert getattr(make_config(options={setting: value}), setting) == value


def test_an_unknown_preset() -> None:
    with pytest.raises(
        ElmanError, match=line("there is no preset 'papers': choose one of paper, steady, quick, minute, strong")
    ):
        make_config("papers")


def test_a_misspelt_setting_names_its_like() -> None:
    with pytest.raises(ElmanError, match=line("there is no setting 'hiden_size': did you mean hidden_size?")):
        make_config(options={"hiden_size": 5})


def test_an_unknown_setting_like_no_other() -> None:
    expected = f"there is no setting 'qqq': the settings are {', '.join(SETTINGS)}"
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={"qqq": 5})
