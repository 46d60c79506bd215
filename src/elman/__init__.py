"""Elman: character-level recurrent networks, every step shown."""

__version__ = "0.1.0"
