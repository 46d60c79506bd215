"""The discussion: what a run's numbers say, in sentences that follow from them.

Every function takes numbers and returns a paragraph, also where they say the opposite of what the reference found.
"""

from __future__ import annotations

from dataclasses import dataclass

from elman.config import Config
from elman.report.narrative import curve, language
from elman.report.results import Results


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of the discussion and what it is about."""

    title: str
    text: str


def discussion(results: Results) -> list[Paragraph]:
    """Return the discussion, the last part of the report."""
    T, K, chars = results.config.seq_length, results.alphabet_size, results.about["corpus"]["chars"]
    start, *during, final = results.words
    repeated = results.facts if results.facts.compared else results.long_facts or results.facts
    return [
        Paragraph("The start", curve.start(results.facts, T, K)),
        Paragraph("Fast at first, then slow", curve.speed(results.facts, results.short.updates)),
        Paragraph("Downward throughout", curve.downward(repeated)),
        Paragraph("Longer training", curve.longer(results.short, results.long)),
        Paragraph("Beside the reference", curve.beside(results.short, T, K, chars)),
        Paragraph("Names", language.names(results.names, results.last.updates, results.texts)),
        Paragraph("Words", language.words(start, during, final)),
        Paragraph("How far one run reaches", reach(results.config)),
    ]


def reach(config: Config) -> str:
    """Say what may be concluded from one run, and what may not."""
    return (
        f"All this is one run, with random state {config.random_state}, in {config.dtype}. Training is chaotic: "
        "float32 and float64, or two engines that add in another order, agree for the first handful of updates and "
        "then part. The same settings on the same machine give the same run; anything else is to be compared over "
        "several random states, not number by number."
    )
