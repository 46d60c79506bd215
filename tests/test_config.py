"""Settings: their defaults are the reference experiment, and what does not fit is refused by name."""

import json
import re
from dataclasses import FrozenInstanceError, asdict, fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from elman.config import ADJUSTABLE, LIMITS, RENAMED, Config, make_config, resume_config
from elman.errors import ElmanError, flag
from elman.presets import DEFAULT_PRESET, FORMER_NAMES, PRESETS

SEE = "see help(elman.train) or elman help train"
SETTINGS = [field.name for field in fields(Config)]


def line(message: str) -> str:
    """Return the pattern of exactly this message."""
    return f"^{re.escape(message)}$"


def test_the_defaults_are_the_reference_experiment() -> None:
    expected = {
        "hidden_size": 100,
        "seq_length": 25,
        "learning_rate": 0.1,
        "grad_clip": 5.0,
        "init_std": 0.1,
        "batch_size": 1,
        "layers": 1,
        "epochs": 10,
        "seed": 400,
        "sample_every": 10_000,
        "sample_length": 200,
        "cell": "rnn",
        "optimizer": "adagrad",
        "validation": 0.0,
        "max_updates": None,
        "max_seconds": None,
        "grad_clip_mode": "value",
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0,
        "ema_decay": 0.0,
        "dropout": 0.0,
        "weight_dropout": 0.0,
        "init": "normal",
        "patience": 0,
        "validate_every": 0,
    }
    assert asdict(Config()) == asdict(Config()) | expected


def test_the_preset_reference_is_the_defaults() -> None:
    assert make_config() == make_config("reference") == Config()


def test_a_setting_replaces_that_of_the_preset() -> None:
    assert make_config("reference", {"hidden_size": 7}) == Config(hidden_size=7)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_configuration(preset: str) -> None:
    assert asdict(make_config(preset)) == asdict(Config()) | PRESETS[preset].settings


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_what_to_expect_in_one_line(preset: str) -> None:
    assert re.fullmatch(r"[^\n]*\d[^\n]*[^.]", PRESETS[preset].summary)


def test_the_presets_of_the_issue_are_there() -> None:
    assert list(PRESETS) == ["reference", "steady", "quick", "minute", "strong"]
    assert PRESETS["reference"].settings == {}
    assert DEFAULT_PRESET == "minute"
    assert PRESETS[DEFAULT_PRESET].settings["validation"] == 0.1


@pytest.mark.parametrize(("former", "name"), FORMER_NAMES.items())
def test_a_preset_is_found_by_its_former_name(former: str, name: str) -> None:
    assert make_config(former, {"epochs": 3}) == make_config(name, {"epochs": 3})
    assert former not in PRESETS


def test_the_former_names() -> None:
    assert FORMER_NAMES == {"paper": "reference"}
    assert RENAMED == {
        "final_rate": "final_lr_fraction",
        "clip": "grad_clip",
        "clip_by": "grad_clip_mode",
        "averaging": "ema_decay",
        "random_state": "seed",
        "rare": "min_count",
    }


OTHERS: dict[str, Any] = {
    "final_rate": 0.5, "clip": 3.0, "clip_by": "norm", "averaging": 0.9, "random_state": 7, "rare": 2,
}  # fmt: skip


@pytest.mark.parametrize(("former", "name"), RENAMED.items())
def test_a_setting_has_its_former_name_too(former: str, name: str) -> None:
    value = OTHERS[former]
    config = Config(**{name: value})
    assert config != Config()
    assert Config(**{former: value}) == make_config(options={former: value}) == config
    assert getattr(config, former) == getattr(config, name) == value
    assert resume_config(config, {former: value}) == config
    assert former not in SETTINGS
    expected = line(f"{name} and {former} are the same setting: pass only {name}")
    with pytest.raises(ElmanError, match=expected):
        Config(**{former: value, name: value})
    with pytest.raises(ElmanError, match=expected):
        make_config(options={former: value, name: value})


def test_files_have_the_former_names() -> None:
    keys = list(Config().as_dict())
    assert keys == [
        "cell", "hidden_size", "layers", "seq_length", "batch_size", "optimizer", "learning_rate", "schedule",
        "final_rate", "warmup", "clip", "clip_by", "beta1", "beta2", "weight_decay", "averaging", "dropout",
        "dropout_kind", "weight_dropout", "init", "init_std", "ngram_order", "ngram_discount", "ngram_folds",
        "ngram_start", "epochs", "max_updates", "max_seconds", "validation", "validate_every", "patience",
        "random_state", "engine", "device", "dtype", "mixed_precision", "sample_every", "sample_length",
        "metrics_every", "lines", "encoding", "rare",
    ]  # fmt: skip


def test_a_former_name_is_not_suggested() -> None:
    with pytest.raises(ElmanError, match=line(f"unknown setting 'averagin'; {SEE}")):
        make_config(options={"averagin": 5})
    with pytest.raises(AttributeError, match="'Config' object has no attribute 'averagin'"):
        Config().averagin  # noqa: B018


def test_steady_is_the_network_of_reference_and_as_many_updates() -> None:
    reference, steady = make_config("reference"), make_config("steady")
    for name in ("cell", "hidden_size", "layers", "seq_length", "batch_size", "epochs", "max_updates", "max_seconds"):
        assert getattr(steady, name) == getattr(reference, name)


@pytest.mark.parametrize("limit", [{"epochs": 3}, {"max_updates": 9}, {"max_seconds": 7.0}], ids=str)
def test_a_limit_that_is_given_takes_the_place_of_the_presets(limit: dict[str, Any]) -> None:
    found = make_config("minute", limit)
    assert (found.max_updates, found.max_seconds) == (limit.get("max_updates"), limit.get("max_seconds"))
    assert found.epochs == limit.get("epochs", PRESETS["minute"].settings["epochs"])


def test_a_preset_without_its_validation_scores_nothing() -> None:
    found = make_config("minute", {"validation": 0.0})
    assert (found.validate_every, found.patience) == (0, 0)


@pytest.mark.parametrize("setting", ["patience", "validate_every"])
@pytest.mark.parametrize("preset", ["reference", "minute"])
def test_a_setting_that_needs_a_text_kept_aside(preset: str, setting: str) -> None:
    expected = f"{setting} requires a validation set: add validation=0.1 or remove {setting}"
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(preset, {setting: 3, "validation": 0.0})


def test_the_characters_of_an_update() -> None:
    assert Config(batch_size=3, seq_length=7).chars_per_update == 21


@pytest.mark.parametrize("field", fields(Config), ids=SETTINGS)
def test_every_setting_has_help(field: Any) -> None:
    assert re.fullmatch(r"[A-Z].*\.", field.metadata["help"])


def test_the_limits_are_settings() -> None:
    assert set(SETTINGS) >= LIMITS == {"epochs", "max_updates", "max_seconds"}
    assert {*LIMITS, "patience", "engine", "device", "mixed_precision"} == ADJUSTABLE


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
        ("hidden_size", 0, "at least 1"),
        ("seq_length", 0, "at least 1"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", -0.1, "greater than 0"),
        ("grad_clip", 0.0, "greater than 0"),
        ("init_std", -0.1, "at least 0"),
        ("epochs", 0, "at least 1"),
        ("max_updates", 0, "at least 1"),
        ("max_seconds", 0.0, "greater than 0"),
        ("validation", -0.1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("sample_every", -1, "at least 0"),
        ("sample_length", 0, "at least 1"),
        ("metrics_every", 0, "at least 1"),
        ("layers", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("beta1", -0.1, "at least 0"),
        ("beta2", -0.1, "at least 0"),
        ("weight_decay", -0.1, "at least 0"),
        ("warmup", -1, "at least 0"),
        ("ema_decay", -0.1, "at least 0"),
        ("dropout", -0.1, "at least 0"),
        ("patience", -1, "at least 0"),
        ("validate_every", -1, "at least 0"),
    ],
)
def test_a_number_out_of_range(setting: str, value: float, needed: str) -> None:
    expected = f"{setting} must be {needed} (got {value})"
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("validation", 1.0, "validation must be less than 1, such as 0.1 (got 1.0)"),
        ("dropout", 1.0, "dropout must be less than 1, such as 0.4 (got 1.0)"),
        ("weight_dropout", 1.0, "weight_dropout must be less than 1, such as 0.3 (got 1.0)"),
        ("ema_decay", 1.0, "ema_decay must be less than 1, such as 0.999 (got 1.0)"),
        ("beta1", 1.0, "beta1 must be less than 1, such as 0.9 (got 1.0)"),
        ("beta2", 5.0, "beta2 must be less than 1, such as 0.999 (got 5.0)"),
        ("metrics_every", 1001, "metrics_every must be at most 1000 (got 1001)"),
        ("seed", 2**32, "seed must be at most 4294967295 (got 4294967296)"),
    ],
)
def test_a_number_too_large(setting: str, value: float, expected: str) -> None:
    with pytest.raises(ElmanError, match=line(expected)):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    "setting", ["learning_rate", "grad_clip", "init_std", "max_seconds", "validation", "weight_decay"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite(setting: str, value: float) -> None:
    with pytest.raises(ElmanError, match=line(f"{setting} must be a finite number (got {value})")):
        make_config(options={setting: value})


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("cell", "transformer", "rnn, gru, lstm"),
        ("optimizer", "lion", "adagrad, rmsprop, adam, adamw, sgd, muon"),
        ("grad_clip_mode", "hand", "value, norm"),
        ("schedule", "linear", "constant, cosine, step"),
        ("dropout_kind", "zoneout", "variational, plain"),
        ("init", "zeros", "normal, orthogonal"),
        ("engine", "jax", "numba, numpy, torch"),
        ("dtype", "float16", "float32, float64"),
    ],
)
def test_a_choice_that_there_is_not(setting: str, value: Any, needed: str) -> None:
    expected = f"{setting} must be one of {needed} (got {value})"
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
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("sample_every", 0),
        ("metrics_every", 1),
        ("metrics_every", 1000),
    ],
)
def test_the_ends_of_the_ranges_are_in_them(setting: str, value: float | None) -> None:
    assert getattr(make_config(options={setting: value}), setting) == value


def test_an_unknown_preset() -> None:
    with pytest.raises(
        ElmanError, match=line("unknown preset 'papers'; choose from reference, steady, quick, minute, strong")
    ):
        make_config("papers")


def test_a_misspelt_setting_names_its_like() -> None:
    with pytest.raises(ElmanError, match=line("unknown setting 'hiden_size'; did you mean hidden_size?")):
        make_config(options={"hiden_size": 5})


def test_an_unknown_setting_like_no_other() -> None:
    with pytest.raises(ElmanError, match=line(f"unknown setting 'qqq'; {SEE}")):
        make_config(options={"qqq": 5})


def test_numbers_of_other_libraries_and_choices_in_any_case_are_stored_as_usual() -> None:
    options: dict[str, Any] = {
        "hidden_size": np.int64(8), "seed": np.uint32(3), "learning_rate": np.float32(0.25), "dropout": np.float64(0.5),
        "beta1": Fraction(1, 2), "max_seconds": np.int8(7), "cell": "GRU", "optimizer": "Adam", "engine": "NumPy",
    }  # fmt: skip
    expected = {
        "hidden_size": 8, "seed": 3, "learning_rate": 0.25, "dropout": 0.5, "beta1": 0.5, "max_seconds": 7,
        "cell": "gru", "optimizer": "adam", "engine": "numpy",
    }  # fmt: skip
    config = make_config("Reference", options)
    assert config == make_config("reference", expected)
    assert all(type(getattr(config, name)) is type(value) for name, value in expected.items())
    assert json.loads(json.dumps(config.as_dict())) == config.as_dict()
    with pytest.raises(ElmanError, match=line("hidden_size must be an integer (got True)")):
        make_config(options={"hidden_size": True})
    with pytest.raises(ElmanError, match=line("lines must be True or False (got 'yes')")):
        make_config(options={"lines": "yes"})
