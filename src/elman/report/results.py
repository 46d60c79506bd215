"""The results of a report, the content of ``results.json``, and the progress of one that is not finished.

S  smooth loss, nats per window    T  characters in one window    K  size of the alphabet
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np

from elman.engine import get_engine
from elman.errors import ElmanError, option, quote
from elman.report.lexicon import Lexicon, count_words, find_names
from elman.runs.history import DECAY, Sample, finite_or_none
from elman.runs.run import Run
from elman.storage.atomic import replace_file
from elman.storage.untrusted import parse_strict_json, read_regular_file
from elman.testing.gradcheck import MAX_RELATIVE_ERROR, REPORTED
from elman.training.start import initial_state

RESULTS = "results.json"
NAMES = 12
"""Number of most frequent names that the samples are searched for."""
SAMPLES = 11
"""Number of samples that are shown, as in the course report: one before the first update, and ten more."""

_CHECK = ("points", "hidden_size", "seq_length", "relative_error")
_PHASE = (
    "updates", "epochs", "seconds", "chars_per_second", "smooth_loss", "minimum_smooth_loss", "minimum_at",
    "validation_loss",
)  # fmt: skip

PUBLISHED: dict[str, Any] = {
    "chars": 1_107_542,
    "alphabet_size": 80,
    "seq_length": 25,
    "gradient_check": [dict(zip(_CHECK, experiment, strict=True)) for experiment in REPORTED],
    "short": {"epochs": 10, "minimum_smooth_loss": 38.87},
    "long": {"epochs": 100, "smooth_loss": 35.9},
    "last_name_at": 931_000,
}
"""The results of the course report (KTH DD2424, 2021): its novel, its gradient check, its two runs, and the update at
which a sample first contained the name of the novel's villain."""


def start_progress() -> dict[str, Any]:
    """Return the content of ``results.json`` before anything is done; an unfinished report is resumed from it."""
    return {
        "finished": False,
        "gradient_check": {"experiments": [], "passed": True, "limit": MAX_RELATIVE_ERROR},
        "short": None,  # of the first phase, whose exact minimum the run directory does not contain
        "best": None,  # the text of the network with the lowest smooth loss, which no file contains
        "times": {"gradient_check_seconds": 0.0, "whole_seconds": 0.0},  # of all calls so far
    }


def load_progress(out: Path) -> dict[str, Any]:
    """Load the progress of a report, whether it is finished or not."""
    path, progress = out / RESULTS, start_progress()
    try:
        saved = parse_strict_json(read_regular_file(path).decode("utf-8"))
        check, short, best = saved["gradient_check"], saved["short"], saved["best"]
        experiments = [{key: each[key] for key in _CHECK} for each in check["experiments"]]
        progress["gradient_check"] |= {"experiments": experiments, "passed": bool(check["passed"])}
        progress["short"] = short and {key: short[key] for key in ("requested_epochs", *_PHASE)}
        progress["best"] = best and {key: best[key] for key in ("update", "smooth_loss", "text")}
        progress["times"] = {name: float(saved["times"][name]) for name in progress["times"]}
    except FileNotFoundError:
        raise ElmanError(f"no report in {quote(out)} to resume: remove {option.resume:True}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = f"restore it or choose another {option.out}"
        raise ElmanError(f"{quote(path)} cannot be read as the results of a report ({error}): {remedy}") from error
    return progress


def save_results(out: Path, results: Mapping[str, Any]) -> None:
    """Write ``results.json``."""
    replace_file(out / RESULTS, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())


def describe_phase(run: Run, requested_epochs: int) -> dict[str, Any]:
    """Return the results of a run so far, as a phase of the report."""
    results = run.results()
    per_window = {key: getattr(run.state, key) for key in ("smooth_loss", "minimum_smooth_loss")}
    return {"requested_epochs": requested_epochs} | {key: results[key] for key in _PHASE} | per_window


def collect_results(
    run: Run, lexicon: Lexicon, progress: Mapping[str, Any], long: dict[str, Any] | None, submission: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``results.json`` of a finished run; `elman.report.report` lists the keys.

    `progress` has the gradient check, the first phase, the best text and times, `long` the results of the second phase,
    `submission` what was measured of one, if any.
    """
    short, seconds = progress["short"], run.state.seconds
    curve = _collect_curve(run, [short, *([long] if long else [])])
    uniform = run.config.seq_length * math.log(len(run.corpus.alphabet))
    best = Sample(**progress["best"])
    shown, searched = [*run.samples[:SAMPLES], best], [*run.samples, best]
    times = {"training_seconds": seconds, "microseconds_per_update": 1e6 * seconds / run.state.update}
    return {
        **progress,
        "finished": True,
        **run.manifest.as_dict(),
        "long": long,
        "curve": curve,
        "statistics": {"uniform": uniform} | measure_curve(curve, short["updates"], run.data.windows.per_epoch),
        "samples": [asdict(sample) | {"smooth_loss": _per_window(sample.smooth_loss, run)} for sample in shown[:-1]],
        "names": find_names(dict(islice(lexicon.names.items(), NAMES)), searched),
        "words": [count_words(sample, lexicon.words) for sample in shown],
        "searched_samples": len(searched),
        "times": progress["times"] | times,
        "reference": PUBLISHED,
        "submission": _describe_submission(submission, run.data.windows.per_epoch) if submission else None,
    }


def _per_window(loss: float | None, run: Run) -> float | None:
    """Return a loss in nats per window from one in nats per character."""
    return None if loss is None else run.config.seq_length * loss


def _describe_submission(measured: dict[str, Any], per_epoch: int) -> dict[str, Any]:
    """Return the results of a submission from what was measured of it, of which a text says why there is nothing."""
    errors, losses = measured["backward"], measured["train"]
    findings, training = [each for each in (errors, losses) if isinstance(each, str)], None
    if losses not in findings:
        S = [*accumulate(losses, lambda S, L: DECAY * S + (1 - DECAY) * L)]
        every = max(1, len(S) // 500)
        training = {
            "updates": len(S), "epochs": round(len(S) / per_epoch, 2), "smooth_loss": S[-1],
            "minimum_smooth_loss": min(S), "minimum_at": S.index(min(S)) + 1,
            "curve": {"update": [*range(1, len(S) + 1, every)], "smooth_loss": S[::every]},
        }  # fmt: skip
    checks = [
        {name: finite_or_none(error) for name, error in each.items()} for each in errors if errors not in findings
    ]
    return {"name": measured["name"], "findings": findings, "gradient_check": checks, "training": training}


def _collect_curve(run: Run, phases: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the curve of a run: its first update, its rows of metrics, and the last update of each phase.

    The first row of metrics follows some updates, and a resumed run has no row of the update that it resumed from.
    """
    # S_0, the loss of the first window under the initial weights
    state, (x, y) = initial_state(run.data, run.optimizer), run.data.windows.at(0)
    engine = get_engine(run.config.engine, run.config.device)
    points = {1: engine.loss_and_gradients(state.parameters, state.hidden, x, y).loss}
    points |= {row.update: run.config.seq_length * row.smooth_loss for row in run.metrics if row.update > 1}
    points |= {phase["updates"]: phase["smooth_loss"] for phase in phases if phase["updates"] > 1}
    updates = sorted(points)
    return {"update": updates, "smooth_loss": [points[update] for update in updates]}


def measure_curve(curve: Mapping[str, Sequence[float]], last: int, per_epoch: int) -> dict[str, Any]:
    """Return the statistics of the discussion, of a curve from update 1 up to `last`, the end of the first phase."""
    update, S = (np.array(curve[name]) for name in ("update", "smooth_loss"))
    update, S = update[update <= last], S[update <= last]
    decrease = S[0] - S[-1]
    tenth = (S[0] - np.interp(last / 10, update, S)) / decrease if decrease > 0 else 0.0
    # The curve is steep before the first row: interpolation from update 1 would misrepresent it.
    later = update - per_epoch >= update[min(1, len(update) - 1)]
    earlier = np.interp(update[later] - per_epoch, update, S)
    figures = {"per_epoch": per_epoch, "start": float(S[0]), "end": float(S[-1]), "first_tenth": float(tenth)}
    return figures | {"lower": int((S[later] < earlier).sum()), "compared": int(later.sum())}
