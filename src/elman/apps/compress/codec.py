"""Compression and decompression: one sequence of steps, run by an encoder or by a decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from itertools import chain
from threading import Lock

import numpy as np

from elman.apps.compress import container
from elman.apps.compress.container import DEFAULT_MODE, CodecMode, ModeName, find_mode, join_members, split_members
from elman.apps.compress.exact_network import OVERFLOWS, round_weights
from elman.apps.compress.predictor import Predictor
from elman.apps.compress.range_coder import Coder
from elman.apps.compress.tokens import (
    Tokens,
    block_sizes,
    count_blocks,
    count_substreams,
    deinterleave,
    from_tokens,
    interleave,
    split_evenly,
    to_tokens,
)
from elman.errors import ElmanError, check_range, option
from elman.machine import thread_count
from elman.model import Model, OnProgress, check_is_model, fingerprint

OnBytes = Callable[[float], None]  # called often, with the number of bytes that are done


def compress(data: bytes | str, model: Model, *, mode: ModeName = DEFAULT_MODE) -> bytes:
    """Compress data losslessly with a model; the more a text resembles the model's, the smaller the result.

    Parameters
    ----------
    data : bytes or str
        Any bytes; a string is compressed as its UTF-8 bytes.
    model : Model
        It does not change.
    mode : str
        ``static``, the fastest; or ``mixture``, the smallest, which also learns from what it has coded.

    Returns
    -------
    bytes
        The contents of a file that ``elman decompress`` also reads.

    Raises
    ------
    ElmanError
        If `data` is neither bytes nor a string, `model` is not a model or masks parts of lines, the mode is unknown, or
        the codec does not support the model's cell.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> file = elman.compress("the mat sat on the cat. " * 10, model)
    >>> len(file) < 120
    True
    """
    check_is_model(model)
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else _as_bytes(data)
    pieces = (data[start : start + container.MEMBER_SIZE] for start in range(0, len(data), container.MEMBER_SIZE))
    return b"".join(compress_pieces(pieces, model, mode))


def decompress(data: bytes, model: Model, *, max_output: int | None = None) -> bytes:
    """Restore the bytes that `compress` or ``elman compress`` compressed with the same model.

    Parameters
    ----------
    data : bytes
    model : Model
    max_output : int, optional
        Maximum number of bytes to restore, for untrusted data: a small file may restore a huge one. Without it, there
        is no limit.

    Raises
    ------
    ElmanError
        If `data` is not a compressed file, has a newer format, was compressed by another model, or is truncated or
        corrupted; if the original is longer than `max_output`; if `data` is not bytes, or `model` is not a model.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> elman.decompress(elman.compress("a cat", model), model)
    b'a cat'
    """
    check_is_model(model)
    return b"".join(decompress_members(split_members(BytesIO(_as_bytes(data))), model, max_output=max_output))


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ElmanError(f"data must be bytes (got {type(data).__name__}); of a file, pass path.read_bytes()")
    return bytes(data)


def compile_kernels(model: Model, text: str) -> None:
    """Compile the kernels by compressing a text."""
    compress(text, model)


def compress_pieces(
    pieces: Iterable[bytes], model: Model, mode: ModeName, on_bytes: OnBytes = lambda count: None
) -> Iterator[bytes]:
    """Yield the bytes of a file, given the original in pieces of at most `container.MEMBER_SIZE` bytes."""
    if model.masker is not None:  # masked characters would cost a byte each: the file would be larger than with xz
        masked = "a model that reads symbols in place of times and numbers"
        raise ElmanError(f"files cannot be compressed well with {masked}: train with {option.mask:''}")
    compress_piece, pieces = partial(compress_member, model=model, mode=find_mode(mode)), iter(pieces)
    return join_members(_count_bytes(compress_piece, chain([next(pieces, b"")], pieces), on_bytes))


def decompress_members(
    members: Iterable[bytes], model: Model, on_bytes: OnBytes = lambda count: None, max_output: int | None = None
) -> Iterator[bytes]:
    """Yield the original of each member of a file; its declared length is checked before it is decompressed."""
    if max_output is not None:
        check_range("max_output", max_output, 0)
    restored = 0

    def check_size(size: int) -> None:
        if max_output is not None and size > max_output:
            larger = f"more than {option.max_output:{max_output:,}}"
            remedy = f"pass a larger {option.max_output} if you trust the file"
            raise ElmanError(f"the original has at least {size:,} bytes, {larger}: {remedy}")

    def restore(member: bytes, on_progress: OnProgress) -> bytes:
        nonlocal restored
        check_size(restored + container.read_header(member)[0].N)  # a token is at least one byte
        data = decompress_member(member, model, on_progress)
        restored += len(data)
        check_size(restored)
        return data

    return _count_bytes(restore, members, on_bytes)


def _count_bytes(function: Callable[..., bytes], items: Iterable[bytes], on_bytes: OnBytes) -> Iterator[bytes]:
    """Yield the result of `function` for each item, and report its progress in bytes of all items."""
    before = 0
    for item in items:
        size = len(item)
        yield function(item, on_progress=lambda fraction, at=before, size=size: on_bytes(at + fraction * size))
        before += size


def compress_member(data: bytes, model: Model, mode: CodecMode, on_progress: OnProgress) -> bytes:
    """Return `data` as a member, coded in a mode, or stored."""
    digest, tokens = fingerprint(model), to_tokens(data, model.alphabet)
    _, payloads = code_tokens(model, mode, [None] * count_blocks(len(tokens)), tokens, on_progress)
    member = container.serialize(mode, len(tokens), digest, data, payloads)
    return min(member, container.serialize(None, len(data), digest, data, [data]), key=len)


def decompress_member(member: bytes, model: Model, on_progress: OnProgress) -> bytes:
    """Return the original of a member."""
    header, offset = container.read_header(member)
    expected = fingerprint(model)[: len(header.fingerprint)]
    if header.fingerprint != expected:
        fingerprints = f"fingerprint {header.fingerprint.hex()}, this model has {expected.hex()}"
        raise ElmanError(f"the file was compressed by another model ({fingerprints}): use the run that compressed it")
    if header.mode is None:
        data = member[offset:]
        if len(data) != header.N:
            raise container.corrupt_file_error("its length differs from the one in its header")
    else:
        payloads = container.read_payloads(member, offset, count_blocks(header.N))
        tokens, _ = code_tokens(model, header.mode, payloads, np.zeros(header.N, np.int32), on_progress)
        data = from_tokens(tokens, model.alphabet)
    if container.checksum(header.N, data) != header.checksum:
        raise container.corrupt_file_error("the checksum of the decompressed data does not match")
    return data


def code_tokens(
    model: Model,
    mode: CodecMode,
    payloads: Sequence[bytes | None],
    tokens: Tokens,
    on_progress: OnProgress,
) -> tuple[Tokens, list[bytes]]:
    """Code N tokens as one text or, if nothing is learned, every block as a separate text, on all cores."""
    # An encoder passes None for the payload of each block, a decoder zeros for the tokens; both get both.
    weights, N, lock, coded = round_weights(model.parameters), len(tokens), Lock(), 0

    def count(n: int) -> None:
        nonlocal coded
        with lock:
            coded += n
            on_progress(coded / N)

    @OVERFLOWS
    def code_text(tokens: Tokens, given: Sequence[bytes | None]) -> tuple[Tokens, list[bytes]]:
        n_text, R, first, written = len(tokens), count_substreams(len(tokens)), 0, list[bytes]()
        predictor = Predictor(weights, model.alphabet, model.parameters.ngrams, mode, R, n_text)
        table = interleave(tokens, R)
        for payload, n in zip(given, block_sizes(n_text, R), strict=True):
            coder, last = Coder(payload), first + -(-n // R)
            predictor.code(coder, table[first:last], n, count)
            written.append(coder.finish())
            first = last
        return deinterleave(table, n_text), written

    if mode.mixes or len(payloads) == 1:
        return code_text(tokens, payloads)
    texts = np.split(tokens, np.cumsum([*split_evenly(N, len(payloads))])[:-1])
    with ThreadPoolExecutor(thread_count()) as pool:
        coded_texts = [*pool.map(code_text, texts, [[payload] for payload in payloads])]
    return np.concatenate([part for part, _ in coded_texts]), [payload for _, (payload,) in coded_texts]
