"""The dashboard of runs: loss curves, samples and weights in a browser."""
