"""What a model has learned: predictions, parts of the n-gram prior, hidden units that follow features of a text."""
