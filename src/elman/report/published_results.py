"""The published results of the reference experiment, and our measurements of its algorithm.

The reference experiment is the vanilla character RNN of a KTH DD2424 course report (2021). The errors of its gradient
check are in `elman.training.gradcheck.REPORTED`.
"""

CHARS = 1_107_542
"""Length of the reference's novel."""

ALPHABET_SIZE = 80
"""K of the reference's novel."""

SEQ_LENGTH = 25
"""T."""

SHORT_EPOCHS, SHORT_LOSS = 10, 38.87
"""Epochs of the run whose curve was published, and its minimum smooth loss in nats per window."""

LONG_EPOCHS, LONG_LOSS = 100, 35.9
"""Epochs of the longer run, and its final smooth loss in nats per window."""

VILLAIN_AT = 931_000
"""The update at which the name of the novel's villain first appeared in a sample."""

SAMPLES = 11
"""Number of published samples: one before the first update, and ten more."""

SEEDS = (37.84, 41.35)
"""Minimum smooth loss of our runs with seeds 400 and 1, all other settings as published (10 epochs)."""
