"""Bitwise context mixing: the last stage of the modes that need it, after the PAQ compressors of M. Mahoney.

A symbol is coded as the bits of its path through a binary tree (`tree`). Every bit is predicted from the distribution
of all other experts, by what followed many contexts (`contexts`, `counters`) and by what followed earlier occurrences
of the last characters (`matches`); a small network mixes these predictions and learns from every bit (`mixer`).
`model` puts them together.
"""
