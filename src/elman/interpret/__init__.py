"""Interpretation of hidden units: activations, features of the text, probing."""
