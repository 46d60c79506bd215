"""Experts that predict the next character beside the network, and the mixture of all of them."""
