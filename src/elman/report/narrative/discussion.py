"""The discussion section: sentences that follow from the results.

Every function takes numbers and returns a paragraph, also where they contradict the published results.
"""

from __future__ import annotations

from dataclasses import dataclass

from elman.config import Config
from elman.report.narrative import curve, language
from elman.report.results import Results


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the discussion and its heading."""

    title: str
    text: str


def discussion(results: Results) -> list[Paragraph]:
    """Return the discussion, the last part of the report."""
    T, K, chars = results.config.seq_length, results.alphabet_size, results.about["corpus"]["chars"]
    start, *during, final = results.words
    repeated = results.facts if results.facts.compared else results.long_facts or results.facts
    return [
        Paragraph("Initial loss", curve.compare_with_uniform(results.facts, T, K)),
        Paragraph("Speed of the decrease", curve.describe_speed(results.facts, results.short.updates)),
        Paragraph("Trend from epoch to epoch", curve.describe_trend(repeated)),
        Paragraph("Longer training", curve.describe_long_run(results.short, results.long)),
        Paragraph("Comparison with the published result", curve.compare_with_published(results.short, T, K, chars)),
        Paragraph("Names", language.names(results.names, results.last.updates, results.texts)),
        Paragraph("Words", language.words(start, during, final)),
        Paragraph("What one run shows", reach(results.config)),
    ]


def reach(config: Config) -> str:
    """State what can and what cannot be concluded from one run."""
    return (
        f"All results are from one run, with seed {config.seed}, in {config.dtype}. Training is chaotic: "
        "float32 and float64, or two engines that sum in a different order, agree for the first few updates and "
        "then diverge. The same settings on the same machine reproduce the run; everything else should be compared "
        "over several seeds, not number by number."
    )
