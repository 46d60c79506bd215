"""What the n-gram prior costs in training: the speed of a GRU with a prior from the first update on and without one.

python benchmarks/ngram_cost.py TEXT [--units 256] [--pairs 5] [--max-updates 600]

Both are trained in turns, in float32 with 32 sequences of 64 characters per update; a line is printed per pair, and at
last the median of the ratios. The seconds are those of updates, without compilation and without counting the text.
"""

from __future__ import annotations

import argparse
import statistics

import elman
from elman.text import Corpus, read_corpus

BATCH_SIZE, SEQ_LENGTH, ORDER = 32, 64, 10


def characters_per_second(corpus: Corpus, units: int, order: int, updates: int) -> float:
    """Train a GRU for a number of updates, with a prior of this order, and return its speed."""
    run = elman.train(
        corpus, preset="quick", hidden_size=units, batch_size=BATCH_SIZE, seq_length=SEQ_LENGTH, ngram_order=order,
        ngram_start=0.0, max_updates=updates, sample_every=0, validation=0,
    )  # fmt: skip
    return updates * BATCH_SIZE * SEQ_LENGTH / run.state.seconds


def main() -> None:
    """Print the speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--units", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--max-updates", type=int, default=600)
    arguments = parser.parse_args()
    corpus, ratios = read_corpus(arguments.text), []
    for order in (0, ORDER):  # compiles the kernels
        characters_per_second(corpus, arguments.units, order, 1)
    for _ in range(arguments.pairs):
        without, with_prior = (
            characters_per_second(corpus, arguments.units, order, arguments.max_updates) for order in (0, ORDER)
        )
        ratios.append(with_prior / without)
        print(f"without {without:,.0f}, with {with_prior:,.0f} characters per second: {ratios[-1]:.2f}", flush=True)
    print(f"median: {1 - statistics.median(ratios):.0%} of the speed")


if __name__ == "__main__":
    main()
