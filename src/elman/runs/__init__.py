"""Runs on disk: directory, records, checkpoint, lock, loggers, resume."""
