"""Training: starting and resuming a run, the loop, limits, callbacks, health checks and advice."""
