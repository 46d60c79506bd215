"""Lossless compression by a trained network, whose decoder gives the same bits on any machine."""

from elman.use.codec.coding import compress as compress
from elman.use.codec.coding import decompress as decompress
from elman.use.codec.coding import fingerprint as fingerprint
