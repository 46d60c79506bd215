"""Continuous batching: sequences, jobs and the thread that generates them."""
