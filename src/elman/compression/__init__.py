"""Lossless compression with a trained model; decoding is bit-exact on every machine."""

from elman.compression.codec import fingerprint as fingerprint
from elman.compression.members import compress as compress
from elman.compression.members import decompress as decompress
