"""The scores of `elman score --by` on long and on short lines: three logs, names and domains.

    git clone --depth 1 https://github.com/logpai/loghub
    curl -LO https://raw.githubusercontent.com/karpathy/makemore/master/names.txt
    curl -LO https://raw.githubusercontent.com/opendns/public-domain-lists/master/opendns-random-domains.txt
    python benchmarks/line_scores.py loghub names.txt opendns-random-domains.txt

A model of preset `quick` is trained on 1,000 lines of a log, or 4,000 names or domains, and scores others: some as they
are, and the same ones changed in one way each. Each cell is the share of the changed lines that score above 99 % of the
held-out lines of the training.
"""

from __future__ import annotations

import random
import string
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import elman
from elman.model.score_lines import AGGREGATIONS, BlockScorer, find_threshold
from elman.text import Corpus

UPDATES, TESTED = 600, 500
SHORT = ["x", "?", "a9", "ok", "-", "done", "...", "null", "}", "0"]


def damage(line: str, r: random.Random) -> str:
    """Return a line in which one character is another letter."""
    at = r.randrange(len(line))
    return line[:at] + r.choice(string.ascii_letters) + line[at + 1 :]


CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "none": lambda line, r: line,
    "very short": lambda line, r: r.choice(SHORT),
    "broken off": lambda line, r: line[: r.randrange(1, max(2, len(line) - 1))],
    "one letter": damage,
    "shuffled": lambda line, r: "".join(r.sample(line, len(line))),
    "random": lambda line, r: "".join(r.choices(string.ascii_lowercase, k=min(len(line), 12))),
    "twice": lambda line, r: line + line,
}


def compare(name: str, lines: list[str], training: int, mask: str) -> None:
    """Print a row per score of the lines of a text."""
    r = random.Random(1)
    lines = list(dict.fromkeys(lines)) if not mask else lines
    r.shuffle(lines)
    corpus, tested = Corpus.from_lines(lines[:training]), lines[training : training + TESTED]
    options = {"max_updates": UPDATES, "sample_every": 0, "seed": 1, "validation": 0.1}
    model = elman.train(corpus, preset="quick", lines=True, mask=mask, progress=False, **options).model  # type: ignore[arg-type]
    scorer = BlockScorer(model, carry_state=False)
    scored = {
        change: scorer.score_batch([function(line, r) for line in tested]) for change, function in CHANGES.items()
    }
    length = np.median([line.chars for line in scored["none"]])
    for by, aggregate in AGGREGATIONS.items():
        limit = find_threshold(model, by, 0.99)
        shares = (np.mean([aggregate(line) > limit for line in found]) for found in scored.values())
        print(f"| {name}, {length:.0f} characters | `{by}` |", *(f"{share:.0%} |" for share in shares), flush=True)


def main() -> None:
    """Print the table."""
    print("| text | `--by` |", *(f"{change} |" for change in CHANGES))
    print("|---|---|", *("--: |" for _ in CHANGES))
    for log in ("BGL", "OpenSSH", "HDFS"):
        lines = (Path(sys.argv[1]) / log / f"{log}_2k.log").read_text("utf-8").splitlines()
        if log == "BGL":  # its first word is a label
            lines = [line[2:] for line in lines if line.startswith("- ")]
        compare(log, lines, 1000, "all")
    for name, path in (("names", sys.argv[2]), ("domains", sys.argv[3])):
        compare(name, Path(path).read_text("utf-8").splitlines(), 4000, "")


if __name__ == "__main__":
    main()
