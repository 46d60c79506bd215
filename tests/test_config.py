"""Settings: their defaults are the reference experiment, and what does not fit is refused by name."""

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest

from elman.config import ADJUSTABLE, LIMITS, Config, help_of, list_types, make_config, replace_settings, resume_config
from elman.errors import ElmanError
from elman.network.optimizers import OPTIMIZERS
from elman.recipe import DEFAULT_PRESET, PRESETS
from support.cells import CELL_NAMES


def test_the_defaults_are_the_reference_experiment() -> None:
    expected = {
        "cell": "rnn", "hidden_size": 100, "layers": 1, "seq_length": 25, "batch_size": 1, "optimizer": "adagrad",
        "learning_rate": 0.1, "schedule": "constant", "warmup": 0, "grad_clip": 5.0, "grad_clip_mode": "value",
        "weight_decay": 0.0, "ema_decay": 0.0, "dropout": 0.0, "weight_dropout": 0.0, "init": "normal",
        "init_std": 0.1, "dtype": "float64", "epochs": 10, "ngram_order": 0,
        "max_updates": None, "max_seconds": None, "validation": 0.0,
        "validate_every": 0, "patience": 0, "seed": 400, "sample_every": 10_000, "sample_length": 200,
    }  # fmt: skip
    assert asdict(Config()).items() >= expected.items()
    assert make_config() == make_config("reference") == Config()
    assert make_config("reference", {"hidden_size": 7}) == Config(hidden_size=7)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_optimizer_has_its_own_rate_and_betas(preset: str, optimizer: str) -> None:
    before, config = make_config(preset), make_config(preset, {"optimizer": optimizer.upper()})
    own = OPTIMIZERS[optimizer].defaults()
    expected = asdict(before) if optimizer == before.optimizer else own
    assert {name: getattr(config, name) for name in own} == {name: expected[name] for name in own}
    assert make_config(preset, {"optimizer": optimizer, "beta2": 0.5, "learning_rate": 7.0}).learning_rate == 7.0


def test_the_presets() -> None:
    assert list(PRESETS) == ["reference", "steady", "counts", "quick", "minute", "strong", "hour"]
    assert PRESETS["reference"].settings == {}
    assert (DEFAULT_PRESET, PRESETS[DEFAULT_PRESET].settings["validation"]) == ("minute", 0.1)
    for name, preset in PRESETS.items():
        assert asdict(make_config(name)) == asdict(Config()) | preset.settings
        assert re.fullmatch(r"[^\n]*\d[^\n]*[^.]", preset.summary)  # what to expect
    same = "cell hidden_size layers seq_length batch_size epochs max_updates max_seconds"
    assert not {*same.split()} & PRESETS["steady"].settings.keys()  # the network of reference, and as many updates


@pytest.mark.parametrize("limit", [{"epochs": 3}, {"max_updates": 9}, {"max_seconds": 7.0}], ids=str)
def test_a_limit_that_is_given_takes_the_place_of_the_presets(limit: dict[str, Any]) -> None:
    found = make_config("minute", limit)
    assert (found.max_updates, found.max_seconds) == (limit.get("max_updates"), limit.get("max_seconds"))
    assert found.epochs == limit.get("epochs", PRESETS["minute"].settings["epochs"])


def test_none_is_no_limit() -> None:
    assert make_config("minute", {"max_updates": None}).max_seconds == 60
    assert make_config("minute", {"max_seconds": None}).max_seconds is None
    assert resume_config(Config(max_updates=9), {"max_seconds": None}).max_updates == 9
    assert resume_config(Config(max_seconds=9.0), {"max_seconds": None, "max_updates": 3}).max_seconds is None


def test_masks_are_left_out_without_lines() -> None:
    options = replace_settings(vars(Config(lines=True, mask="numbers", mask_regex="a+")), {"lines": False})
    assert (options["mask"], options["mask_regex"]) == ("", "")


@pytest.mark.parametrize("setting", ["patience", "validate_every"])
@pytest.mark.parametrize("preset", ["reference", "minute"])
def test_a_setting_that_needs_a_validation_set(preset: str, setting: str) -> None:
    assert getattr(make_config(preset, {"validation": 0.0}), setting) == 0
    with pytest.raises(ElmanError, match=f"{setting} requires a validation set"):
        make_config(preset, {setting: 3, "validation": 0.0})


def test_a_configuration_is_a_constant_value_and_every_setting_has_help() -> None:
    config = Config(hidden_size=3, max_updates=4, dtype="float64", batch_size=3, seq_length=7)
    assert config.chars_per_update == 21
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(FrozenInstanceError):
        config.hidden_size = 5  # type: ignore[misc]
    assert all(re.fullmatch(r"[A-Z].*\.", help_of(field.name)) for field in fields(Config))


def test_the_limits_and_what_may_change_on_resume() -> None:
    assert {"epochs", "max_updates", "max_seconds"} == LIMITS
    assert {*LIMITS, "patience", "engine", "device", "mixed_precision"} == ADJUSTABLE
    with pytest.raises(ElmanError, match="cannot change seed and dropout"):
        resume_config(Config(), {"seed": 3, "dropout": 0.5, "epochs": 3})


@pytest.mark.parametrize(
    ("names", "value", "needed"),
    [
        ("seq_length epochs max_updates sample_length metrics_every layers batch_size", 0, "at least 1"),
        ("learning_rate max_seconds", 0.0, "greater than 0"),
        ("grad_clip init_std validation beta1 beta2 weight_decay ema_decay dropout", -0.1, "at least 0"),
        ("seed sample_every warmup patience validate_every", -1, "at least 0"),
        ("validation", 1.0, "less than 1, such as 0.1"),
        ("dropout", 1.0, "less than 1, such as 0.4"),
        ("weight_dropout", 1.0, "less than 1, such as 0.3"),
        ("ema_decay", 1.0, "less than 1, such as 0.999"),
        ("beta1", 1.0, "less than 1, such as 0.9"),
        ("seed", 2**32, "at most 4294967295"),
        ("max_seconds ngram_max_size", 2e9, "at most 1000000000"),
        # What a file of a run may contain.
        ("max_updates epochs sample_every ngram_min_count learning_rate", 2**53 + 1, "at most 9007199254740992"),
        ("learning_rate grad_clip init_std max_seconds validation weight_decay", float("nan"), "a finite number"),
        ("learning_rate grad_clip init_std max_seconds validation weight_decay", float("inf"), "a finite number"),
        ("cell", "transformer", f"one of {CELL_NAMES}"),
        ("optimizer", "newton", f"one of {', '.join(OPTIMIZERS)}"),
        ("grad_clip_mode", "hand", "one of value, norm"),
        ("schedule", "linear", "one of constant, cosine, step"),
        ("dropout_kind", "zoneout", "one of variational, plain"),
        ("init", "zeros", "one of normal, orthogonal"),
        ("engine", "jax", "one of numba, numpy, torch"),
        ("dtype", "float16", "one of float32, float64"),
    ],
)
def test_a_value_out_of_range(names: str, value: Any, needed: str) -> None:
    for setting in names.split():
        with pytest.raises(ElmanError, match=rf"{setting} must be {needed} \(got {value}\)"):
            make_config(options={setting: value})


def test_the_ends_of_the_ranges_are_in_them() -> None:
    low: dict[str, Any] = {"hidden_size": 1, "learning_rate": 1e-300, "init_std": 0.0, "seed": 0, "sample_every": 0}
    high: dict[str, Any] = {"validation": 0.999, "seed": 2**32 - 1, "metrics_every": 10**9}
    for ends in (low, high):
        assert asdict(make_config(options=ends)).items() >= ends.items()


@pytest.mark.parametrize("kind", [int, np.int32, np.int64, np.uint8])
def test_an_integer_where_a_float_belongs_is_that_float(kind: Callable[[int], Any]) -> None:
    names = [name for name, hint in list_types().items() if float in (hint, *get_args(hint))]
    assert len(names) > 12
    for name in names:
        limits = Config.__dataclass_fields__[name].metadata["limits"]
        value = 0 if "below" in limits else 1
        options = {name: kind(value), "ngram_order": 3}
        for found in (getattr(make_config("minute", options), name), replace_settings({}, options)[name]):
            assert (found, type(found)) == (value, float)


def test_numbers_of_other_libraries_and_choices_in_any_case_are_stored_as_usual() -> None:
    options: dict[str, Any] = {
        "hidden_size": np.int64(8), "seed": np.uint32(3), "learning_rate": np.float32(0.25), "dropout": np.float64(0.5),
        "beta1": Fraction(1, 2), "max_seconds": np.int8(7), "cell": "GRU", "optimizer": "Adam", "engine": "NumPy",
    }  # fmt: skip
    expected = {
        "hidden_size": 8, "seed": 3, "learning_rate": 0.25, "dropout": 0.5, "beta1": 0.5, "max_seconds": 7.0,
        "cell": "gru", "optimizer": "adam", "engine": "numpy",
    }  # fmt: skip
    config = make_config("Reference", options)
    assert config == make_config("reference", expected)
    assert all(type(getattr(config, name)) is type(value) for name, value in expected.items())
    assert json.loads(json.dumps(asdict(config))) == asdict(config)
