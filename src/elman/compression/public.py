"""`elman.compress` and `elman.decompress`: the codec with its arguments in the order of the command line."""

from __future__ import annotations

from elman.compression import codec
from elman.config import Adapt
from elman.inference import Model


def compress(data: bytes | str, model: Model, *, adapt: bool | Adapt = False) -> bytes:
    """Compress data losslessly with a model; the more a text resembles the model's, the smaller the result.

    Parameters
    ----------
    data : bytes or str
        Any bytes; of a string, its UTF-8 bytes are compressed.
    model : Model
    adapt : bool or str
        What adapts to the data already coded, for smaller files: ``weights`` (or True), ``counts`` or ``both``.

    Returns
    -------
    bytes
        The contents of a file that ``elman decompress`` reads, too.

    Raises
    ------
    ElmanError
        As `elman.compression.compress`.
    """
    return codec.compress(model, data.encode() if isinstance(data, str) else data, adapt=adapt)


def decompress(data: bytes, model: Model) -> bytes:
    """Restore the bytes that `compress` or ``elman compress`` compressed with the same model.

    Raises
    ------
    ElmanError
        As `elman.compression.decompress`.
    """
    return codec.decompress(model, data)
