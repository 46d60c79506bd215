"""A wrong value of any argument of a public function is an `ElmanError`, or means something; it is nothing else.

The calls follow from the signatures: every argument has every wrong value once, while the others are valid. Only the
name of an argument that is missing or does not exist may be a `TypeError`.
"""

import inspect
import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import elman
from elman.apps.sweep import loop
from elman.config import Config
from elman.engine import get_engine
from elman.errors import MAX_INT, ElmanError
from elman.pyctcdecode import build_ctcdecoder
from elman.testing import check_engine
from elman.training import api
from support.random_model import random_prior_model
from support.state import TEXT
from support.training import SMALL, train
from support.wrong_values import make_wrong_values

LOG_P = np.log([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
CTC: dict[str, Any] = {"log_probs": LOG_P, "symbols": ["", "h", "i"]}
NOT_CALLED = {"ElmanError", "TrainingCallback", "Sample", "Score", "Model", "Corpus", "Run", "SavedRun"}
"""What has no arguments of its own, or is a record that is not made by users; its methods are called."""


def drain(result: Any) -> Any:
    """Read what a function that yields has promised, up to a limit."""
    return [*itertools.islice(result, 9)] if isinstance(result, Iterator) else result


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every public function and method, with valid arguments for those that are required or make it fast."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "novel.txt").write_text(TEXT, "utf-8")
    run = train(folder / "novel.txt", **SMALL, engine="numpy", max_updates=2, out=folder / "run")
    names = elman.Corpus.from_lines(["anna", "otto"] * 20)
    lines = train(names, **SMALL, engine="numpy", lines=True, max_updates=2).model
    model, corpus, saved = random_prior_model(TEXT), elman.Corpus.from_text(TEXT), elman.open_run(folder / "run")
    search, tiny = elman.CtcSearch(CTC["symbols"]), {"max_updates": 1, "out": folder / "new", "overwrite": True}
    arguments: dict[str, dict[str, Any]] = {
        "train": {"corpus": folder / "novel.txt", **SMALL, "engine": "numpy", **tiny},
        "sweep": {"corpus": folder / "novel.txt", "out": folder / "sweep", "trials": 1, "preset": "reference"},
        "gradcheck": {"corpus": corpus, "hidden_size": 2, "seq_length": 3, "engine": "numpy"},
        "decode_ctc": CTC, "decode_batch": CTC | {"log_probs": [LOG_P]}, "CtcSearch": {"symbols": CTC["symbols"]},
        "choose_weights": CTC | {"log_probs": [LOG_P], "references": ["h"]},
        "rescore": {"nbest": [("the", -1.0)], "lm": model},
        "kraken_decoder": {"codec": SimpleNamespace(c2l={"h": [1]})},
        "ensemble": {"models": [model, model]}, "explain": {"text": TEXT, "model": model},
        "compress": {"data": "the", "model": model}, "LineScorer": {"path": folder / "run"},
        "decompress": {"data": elman.compress("the", model), "model": model},
        "export": {"model": model, "path": folder / "model.npz"}, "import_": {"path": folder / "run"},
        "load": {"path": folder / "run"}, "open_run": {"path": folder / "run"},
        "Model.step": {"state": model.start(), "characters": "t"}, "Model.in_training_text": {"line": "anna"},
        "Model.samples": {"count": 2, "length": 5}, "Model.beam": {"width": 2, "length": 5},
        "Model.arrange": {"indices": corpus.indices}, "Model.save": {"path": folder / "model.safetensors"},
        "Model.score_lines": {"lines": ["a"]}, "LineScorer.__call__": {"lines": ["a"]},
        "Corpus.from_lines": {"lines": ["ab", "c"]}, "CtcSearch.advance": {"log_probs": LOG_P},
        "BeamSearchDecoderCTC.decode": {"logits": LOG_P}, "BeamSearchDecoderCTC.decode_beams": {"logits": LOG_P},
        "BeamSearchDecoderCTC.decode_batch": {"pool": None, "logits_list": [LOG_P]},
        "BeamSearchDecoderCTC.save_to_dir": {"filepath": folder},
        "BeamSearchDecoderCTC.load_from_dir": {"filepath": folder},
    }  # fmt: skip
    defaults = {"text": TEXT, "length": 5}
    objects = {"Model": model, "Corpus": corpus, "Run": run, "SavedRun": saved, "CtcSearch": search}
    objects["BeamSearchDecoderCTC"] = decoder = build_ctcdecoder(["h", "i"])
    decoder.save_to_dir(folder)
    objects |= {"LineScorer": elman.LineScorer(folder / "run"), "lines": lines, "Config": elman.Config()}
    found: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}
    for name in sorted({*dir(elman)} - NOT_CALLED - {"__version__"}):
        found[name] = getattr(elman, name), arguments.get(name, {})
    found["check_engine"] = check_engine, {"engine": get_engine("numpy"), "updates": 2}
    found["build_ctcdecoder"] = build_ctcdecoder, {"labels": ["h", "i"]}
    for kind, each in objects.items():
        for name, _ in inspect.getmembers(type(each), callable):
            if not name.startswith("_") or (name == "__call__" and kind == "LineScorer"):
                key = f"{type(each).__name__}.{name}"
                bound = getattr(each, name)
                own = {k: v for k, v in defaults.items() if k in inspect.signature(bound).parameters}
                found[f"{kind}.{name}"] = bound, own | arguments.get(key, {})
    return found


def is_valid(argument: str, value: Any) -> bool:
    """Whether a value takes as long as it says, or is a function, whose exceptions are the caller's."""
    is_long = argument in ("length", "min_length") and isinstance(value, int) and 10_000 < value <= MAX_INT
    return is_long or (argument in ("loss_and_gradients", "on_errors") and callable(value))


def list_arguments(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    has_options = len(names) < len(parameters) and "SearchOptions" in str([*parameters][-1].annotation)
    return names + [*inspect.signature(elman.CtcSearch).parameters][2:] * has_options


def call(function: Callable[..., Any], valid: dict[str, Any], name: str, value: Any) -> None:
    parameter = inspect.signature(function).parameters.get(name)
    if parameter is not None and parameter.kind is parameter.VAR_POSITIONAL:
        function = partial(function, value)
    else:
        valid = valid | {name: value}
    drain(function(**valid))


def test_only_elman_errors_come_out(
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What the arguments mean is found before these begin, which would take long.
    monkeypatch.setattr(api, "_notify_and_train", lambda run, callbacks, stopwatch: None)
    monkeypatch.setattr(loop, "run_sweep", lambda settings, callback: None)
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("link")
    tried, wrong, rng = 0, list[str](), random.Random(1)
    for function_name, (function, valid) in calls.items():
        for argument in list_arguments(function):
            values = [*make_wrong_values().items()]
            if function is not elman.Config and argument in Config.__dataclass_fields__:  # which checks them
                values = rng.sample(values, 9)
            for label, value in values:
                if is_valid(argument, value):
                    continue
                tried += 1
                with warnings.catch_warnings(action="ignore"), suppress(ElmanError):
                    try:
                        call(function, valid, argument, value)
                    except ElmanError as error:
                        if "\n" in str(error) or len(str(error)) > 600:
                            wrong.append(f"{function_name}({argument}={label}): {str(error)[:200]!r}")
                    except Exception as error:
                        wrong.append(f"{function_name}({argument}={label}): {type(error).__name__}: {str(error)[:80]}")
    assert not wrong, f"{len(wrong)} of {tried} calls:\n" + "\n".join(wrong)
    assert tried > 5000


class Table(list[str]):
    """As a DataFrame of pandas: its items are the names of its columns."""

    ndim = 2


def test_a_table_is_no_list_of_strings(
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The items of a table or a mapping are names: they must not be read as the strings."""
    monkeypatch.chdir(tmp_path)
    accepted, tried = list[str](), 0
    for function_name, (function, valid) in calls.items():
        for name, parameter in inspect.signature(function).parameters.items():
            kinds = str(parameter.annotation)
            if any(f"{kind}[str]" in kinds for kind in ("Iterable", "Sequence", "list")) and "Mapping" not in kinds:
                for value in ({"a": 1, "b": 2}, Table(["a", "b"]), {"a", "b"}):
                    tried += 1
                    try:
                        call(function, valid, name, value)
                    except ElmanError:
                        continue
                    accepted.append(f"{function_name}({name}={value!r})")
    assert not accepted
    assert tried > 30
