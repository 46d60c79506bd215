"""What the reference experiment reported, and what we measured when we ran its algorithm.

The errors of its gradient check stand in `elman.training.gradcheck.REPORTED`.
"""

CHARS = 1_107_542
"""Length of the reference's novel."""

ALPHABET_SIZE = 80
"""K of the reference's novel."""

SEQ_LENGTH = 25
"""T."""

SHORT_EPOCHS, SHORT_LOSS = 10, 38.87
"""Minimum of the smooth loss in the run that the reference drew, nats a window."""

LONG_EPOCHS, LONG_LOSS = 100, 35.9
"""Smooth loss of the longer run, nats a window."""

VILLAIN_AT = 931_000
"""The update at which the reference first saw the name of its novel's villain written."""

SAMPLES = 11
"""Samples that the reference prints: before the first update, and ten more."""

SEEDS = (37.84, 41.35)
"""Minimum smooth loss that we measured with random states 400 and 1, all else being the reference's (10 epochs)."""
