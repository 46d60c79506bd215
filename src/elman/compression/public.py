"""`elman.compress` and `elman.decompress`: the codec with its arguments in the order of the command line."""

from __future__ import annotations

from elman.compression import members
from elman.config import CodecAdapt
from elman.errors import ElmanError
from elman.inference import Model
from elman.inference.model import check_is_model


def compress(data: bytes | str, model: Model, *, adapt: bool | CodecAdapt = False) -> bytes:
    """Compress data losslessly with a model; the more a text resembles the model's, the smaller the result.

    Parameters
    ----------
    data : bytes or str
        Any bytes; of a string, its UTF-8 bytes are compressed.
    model : Model
    adapt : bool or str
        What adapts to the data already coded, for smaller files: ``weights`` (or True), ``counts``, ``both``,
        ``mixture``: a mixture of experts that learns, ``bitwise``: the same with bitwise context mixing, or ``all``.

    Returns
    -------
    bytes
        The contents of a file that ``elman decompress`` reads, too.

    Raises
    ------
    ElmanError
        As `elman.compression.compress`; if `data` is neither bytes nor a string, or `model` is no model.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> file = elman.compress("the mat sat on the cat. " * 10, model)
    >>> len(file) < 240
    True
    """
    check_is_model(model)
    data = data.encode() if isinstance(data, str) else data
    return members.compress(model, _as_bytes(data), adapt=adapt)


def decompress(data: bytes, model: Model) -> bytes:
    """Restore the bytes that `compress` or ``elman compress`` compressed with the same model.

    Raises
    ------
    ElmanError
        As `elman.compression.decompress`; if `data` is not bytes, or `model` is no model.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> elman.decompress(elman.compress("a cat", model), model)
    b'a cat'
    """
    check_is_model(model)
    return members.decompress(model, _as_bytes(data))


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ElmanError(f"data must be bytes (got {type(data).__name__}); of a file, pass path.read_bytes()")
    return bytes(data)
