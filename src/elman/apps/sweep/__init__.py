"""Hyperparameter sweeps on Optuna: search spaces, samplers, workers, and the results of a sweep."""
