"""Lossless compression with a trained model; decoding is bit-exact on every machine."""

from elman.compression.codec import compress as compress
from elman.compression.codec import decompress as decompress
from elman.compression.codec import fingerprint as fingerprint
