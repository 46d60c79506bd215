"""Runs on disk: directory, history, checkpoint, loggers."""
