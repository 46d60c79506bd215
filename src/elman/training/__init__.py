"""Training: the loop, callbacks, records, health checks, advice, plots, and the gradient check."""
