"""Training, the gradient check, and the directory that a run leaves."""
