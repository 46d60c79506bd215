"""Decoding the output of a recognizer (CTC) and rescoring hypotheses, with a model of the text."""
