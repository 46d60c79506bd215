"""Vectors, matrix products and storage: what every compiled kernel is built from."""
