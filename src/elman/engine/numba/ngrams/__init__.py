"""The n-gram model of `elman.network.ngram`, compiled."""
