"""The results of a report, the content of ``results.json``, and the progress of an unfinished report.

S  smooth loss, nats per window    T  characters in one window    K  size of the alphabet
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from elman.apps.report.curve import collect_curve, find_jumps, measure_curve, plotted_minimum, repeat_start, smooth
from elman.apps.report.lexicon import Lexicon, count_words, find_names, measure_form
from elman.errors import ElmanError, option, quote
from elman.runs import Sample, describe_setting, finite_or_none
from elman.storage import (
    parse_strict_json,
    read_regular_file,
    replace_file,
    require_finite,
    require_int,
    require_str,
)  # fmt: skip
from elman.testing import MAX_RELATIVE_ERROR as LIMIT
from elman.testing import REPORTED
from elman.training import Run

RESULTS = "results.json"
NAMES = 12  # number of most frequent names that the samples are searched for
SAMPLES = 11  # number of samples that are shown, as in the course report: one before the first update, and ten more

_CHECK = ("points", "hidden_size", "seq_length", "relative_error")
_PHASE = (
    "updates", "epochs", "seconds", "chars_per_second", "smooth_loss", "minimum_smooth_loss", "minimum_at",
    "validation_loss",
)  # fmt: skip

_COUNTS = {"requested_epochs", "updates", "minimum_at", "update"}
_PLOTTED = ("plotted_minimum", "plotted_minimum_at")

PUBLISHED: dict[str, Any] = {
    "seq_length": 25,
    "gradient_check": [dict(zip(_CHECK, experiment, strict=True)) for experiment in REPORTED],
    "short": {"epochs": 10, "minimum_smooth_loss": 38.87},
    "long": {"epochs": 100, "smooth_loss": 35.9},
    "villain_at": 931_000,
}
"""The results of the course report (KTH DD2424, 2021): its gradient check, its two runs, and the update of its example
of a text with the name of the novel's villain."""
NOVEL = (1_107_542, 80)
"""Length and alphabet size of the course report's text. The report does not state them; they were computed from the
file that it reads, ``goblet_book.txt`` (Harry Potter and the Goblet of Fire, J. K. Rowling)."""


def start_progress() -> dict[str, Any]:
    """Return the content of ``results.json`` before anything is done; an unfinished report is resumed from it."""
    return {
        "finished": False,
        "gradient_check": {"experiments": [], "zero_state": [], "passed": True, "limit": LIMIT, "setting": None},
        "short": None,  # of the first phase, whose exact minimum the run directory does not contain
        "best": None,  # the text of the network with the lowest smooth loss, which no file contains
        "times": {"gradient_check_seconds": 0.0, "whole_seconds": 0.0},  # times of all calls so far
    }


def load_progress(out: Path) -> dict[str, Any]:
    """Load the progress of a report, whether it is finished or not."""
    path, progress = out / RESULTS, start_progress()
    try:
        saved = parse_strict_json(read_regular_file(path).decode("utf-8"))
        check, short, best = saved["gradient_check"], saved["short"], saved["best"]
        for kind in ("experiments", "zero_state"):
            for each in check[kind]:
                errors = {name: _require_number(error, name) for name, error in each["relative_error"].items()}
                sizes = {key: require_int(each[key], key, minimum=1) for key in _CHECK[:3]}
                progress["gradient_check"][kind].append(sizes | {"relative_error": errors})
        progress["gradient_check"] |= {"passed": check["passed"] is True, "setting": check["setting"]}
        if short is not None:
            keys = ("requested_epochs", *_PHASE, *_PLOTTED)
            progress["short"] = {key: _require_number(short[key], key) for key in keys}
        if best is not None:
            numbers = {key: _require_number(best[key], key) for key in ("update", "smooth_loss")}
            progress["best"] = numbers | {"text": require_str(best["text"], "text")}
        progress["times"] = {name: require_finite(saved["times"][name], name) for name in progress["times"]}
    except FileNotFoundError:
        raise ElmanError(f"no report in {quote(out)} to resume: remove {option.resume:True}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = f"restore it or choose another {option.out}"
        raise ElmanError(f"{quote(path)} cannot be read as the results of a report ({error}): {remedy}") from error
    return progress


def _require_number(value: Any, name: str) -> Any:
    """Return a number of ``results.json``, as it is, or None where there is none."""
    if name in _COUNTS:
        return require_int(value, name)
    if value is not None:
        require_finite(value, name)
    return value


def save_results(out: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json``."""
    replace_file(out / RESULTS, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())


def describe_phase(run: Run, requested_epochs: int) -> dict[str, Any]:
    """Return the results of a run so far, as a phase of the report, with smooth losses in nats per window."""
    results, state = run.results(), run.state
    results |= {name: finite_or_none(getattr(state, name)) for name in ("smooth_loss", "minimum_smooth_loss")}
    phase = {"requested_epochs": requested_epochs} | {key: results[key] for key in _PHASE}
    return phase | plotted_minimum(regular_samples(run), state.update, run.config.seq_length)


def regular_samples(run: Run) -> list[Sample]:
    """Return the samples that are generated at regular updates: all except the last one, of the finished network."""
    return [sample for sample in run.samples if sample.update % run.config.sample_every == 0]


def collect_results(
    run: Run, others: Sequence[Run], lexicon: Lexicon, progress: Mapping[str, Any], long: dict[str, Any] | None,
    final: str, first_character: str, submission: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Return the content of ``results.json`` of a finished run; `elman.apps.report.report` lists the keys."""
    # `others` are the runs with other seeds. `progress` has the gradient check, the first phase, the best text and the
    # times; `long` has the results of the second phase, and `submission` the measurements of a submission, if any.
    short, seconds, per_epoch = progress["short"], run.state.seconds, run.data.windows.per_epoch
    early, phases = repeat_start(run), [short, *([long] if long else [])]
    curve = collect_curve(run, phases)
    T, uniform = run.config.seq_length, run.config.seq_length * math.log(len(run.corpus.alphabet))
    last = Sample(run.state.update, finite_or_none(run.state.smooth_loss), final)
    best = Sample(**progress["best"])
    samples = regular_samples(run)
    shown, searched = [*samples[:SAMPLES], last, best], [*samples, last, best]
    seeds = [_describe_seed(run.config.seed, short, curve)]
    for other in others:
        phase = describe_phase(other, other.config.epochs)
        seeds.append(_describe_seed(other.config.seed, phase, collect_curve(other, [phase])))
    times = {"training_seconds": seconds, "microseconds_per_update": 1e6 * seconds / run.state.update}
    return {
        **progress,
        "finished": True,
        **run.manifest.as_dict(),
        "long": long,
        "curve": curve,
        "seeds": seeds,
        "statistics": {"uniform": uniform, **measure_curve(curve, early, short["updates"], per_epoch)}
        | find_jumps(curve, per_epoch),
        "samples": [asdict(each) | {"smooth_loss": each.smooth_loss and T * each.smooth_loss} for each in shown[:-2]],
        "experiments": [describe_setting(replace(run.config, epochs=phase["requested_epochs"])) for phase in phases],
        "final": asdict(last),
        "first_character": first_character,
        "names": find_names(dict(islice(lexicon.names.items(), NAMES)), searched),
        "words": [count_words(sample, lexicon.words) for sample in shown],
        "form": {"text": lexicon.form, "final": measure_form(final)},
        "searched_samples": len(searched),
        "times": progress["times"] | times,
        "reference": PUBLISHED,
        "submission": _describe_submission(submission, per_epoch) if submission else None,
    }


def _describe_seed(seed: int, short: Mapping[str, Any], curve: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the first phase of one seed, with its curve."""
    end = bisect_right(curve["update"], short["updates"])
    return {"seed": seed, **short, "curve": {name: values[:end] for name, values in curve.items()}}


def _describe_submission(measured: dict[str, Any], per_epoch: int) -> dict[str, Any]:
    """Return the results of a submission from its measurements; a string in their place says why there are none."""
    errors, losses = measured["backward"], measured["train"]
    findings, training = [each for each in (errors, losses) if isinstance(each, str)], None
    if losses not in findings:
        S = smooth(losses)
        every = max(1, len(S) // 500)
        training = {
            "updates": len(S), "epochs": round(len(S) / per_epoch, 2), "smooth_loss": S[-1],
            "minimum_smooth_loss": min(S), "minimum_at": S.index(min(S)) + 1, "plotted_minimum": None,
            "curve": {"update": [*range(1, len(S) + 1, every)], "smooth_loss": S[::every]},
        }  # fmt: skip
    checks = [] if errors in findings else [{name: finite_or_none(each[name]) for name in each} for each in errors]
    return {"name": measured["name"], "findings": findings, "gradient_check": checks, "training": training}
