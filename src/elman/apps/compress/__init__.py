"""Lossless compression with a trained model; decoding is bit-exact on every machine."""
