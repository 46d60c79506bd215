"""Lossless compression by a trained network, whose decoder gives the same bits on any machine."""

from elman.compression.codec import compress as compress
from elman.compression.codec import decompress as decompress
from elman.compression.codec import fingerprint as fingerprint
