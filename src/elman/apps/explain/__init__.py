"""Interpretation of a model: predictions, contributions of the n-gram prior, and units that track text features."""
