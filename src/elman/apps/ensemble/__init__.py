"""Ensembles: one model that averages the predictions of several."""
