"""Everything a report says, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from elman.config import Config
from elman.report import published_results
from elman.report.curve_stats import CurveFacts, Part
from elman.report.narrative.lexicon import Name, WordCount
from elman.runs.records import Metrics, Sample, finite_or_none
from elman.training.gradcheck import LARGEST_ERROR, REPORTED, GradientCheck


@dataclass(frozen=True)
class Times:
    """Seconds: of the gradient check, in updates, and of the whole report over all its sittings."""

    gradient_check_seconds: float
    training_seconds: float
    whole_seconds: float
    microseconds_an_update: float


@dataclass(frozen=True)
class Results:
    """What the report found.

    Parameters
    ----------
    about : dict
        Settings, alphabet, text, versions and machine, as in ``run.json``.
    config : Config
    checks : sequence of GradientCheck
    short : Part
    long : Part or None
        None where the run did not go on.
    short_curve, curve : sequence of Metrics
        From the first update to the last of the short part, and of the whole run.
    facts : CurveFacts
        Of the short part.
    long_facts : CurveFacts or None
        Of the whole run.
    samples : sequence of Sample
        The first ones, as many as the reference printed.
    final : Sample
        What the finished network wrote.
    names : sequence of Name
    words : sequence of WordCount
        Of each of `samples`, then of `final`.
    texts : int
        Samples in which the names were looked for, the final one among them.
    times : Times
    """

    about: Mapping[str, Any]
    config: Config
    checks: Sequence[GradientCheck]
    short: Part
    long: Part | None
    short_curve: Sequence[Metrics]
    curve: Sequence[Metrics]
    facts: CurveFacts
    long_facts: CurveFacts | None
    samples: Sequence[Sample]
    final: Sample
    names: Sequence[Name]
    words: Sequence[WordCount]
    texts: int
    times: Times

    @property
    def last(self) -> Part:
        """Where the run stood at its end."""
        return self.long or self.short

    @property
    def alphabet_size(self) -> int:
        """K."""
        return int(self.about["corpus"]["alphabet_size"])

    def as_dict(self) -> dict[str, Any]:
        """Return what ``results.json`` says, the discussion apart; `elman.report.report` lists the keys."""
        return {
            "finished": True,
            **self.about,
            "gradient_check": check_dict(self.checks),
            "short": self.short.as_dict(),
            "long": self.long.as_dict() if self.long else None,
            "curve": {
                "update": [row.update for row in self.curve],
                "smooth_loss": [row.smooth_loss for row in self.curve],
            },
            "facts": {
                "short": asdict(self.facts),
                "long": asdict(self.long_facts) if self.long_facts else None,
            },
            "samples": [asdict(sample) for sample in self.samples],
            "final": asdict(self.final),
            "names": [asdict(name) for name in self.names],
            "words": [asdict(count) | {"share": count.share} for count in self.words],
            "texts": self.texts,
            "times": asdict(self.times),
            "reference": reference_dict(),
        }


def check_dict(checks: Sequence[GradientCheck]) -> dict[str, Any]:
    """Return the gradient check as JSON holds it; an error that is not a number is null."""
    experiments = [check.as_dict() for check in checks]
    for experiment in experiments:
        errors = experiment["relative_error"]
        experiment["relative_error"] = {name: finite_or_none(error) for name, error in errors.items()}
    return {"experiments": experiments, "passed": all(check.passed for check in checks), "limit": LARGEST_ERROR}


def checks_from(saved: Mapping[str, Any]) -> tuple[GradientCheck, ...]:
    """Return the gradient check that `check_dict` made JSON of."""
    nan = float("nan")
    return tuple(
        GradientCheck(
            experiment["points"],
            experiment["hidden_size"],
            experiment["seq_length"],
            {name: nan if error is None else error for name, error in experiment["relative_error"].items()},
        )
        for experiment in saved["experiments"]
    )


def reference_dict() -> dict[str, Any]:
    """Return what the reference reported."""
    keys = ("points", "hidden_size", "seq_length", "relative_error")
    return {
        "chars": published_results.CHARS,
        "alphabet_size": published_results.ALPHABET_SIZE,
        "seq_length": published_results.SEQ_LENGTH,
        "gradient_check": [dict(zip(keys, experiment, strict=True)) for experiment in REPORTED],
        "short": {"epochs": published_results.SHORT_EPOCHS, "minimum_smooth_loss": published_results.SHORT_LOSS},
        "long": {"epochs": published_results.LONG_EPOCHS, "smooth_loss": published_results.LONG_LOSS},
        "last_name_at": published_results.VILLAIN_AT,
    }
