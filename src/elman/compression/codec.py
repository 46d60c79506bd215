"""Compression and decompression: one sequence of steps, run by an encoder or by a decoder."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, TypeVar, get_args

import numpy as np

from elman.compression import blocks, container
from elman.compression.container import Mode
from elman.compression.exact_kernels import Ints
from elman.compression.exact_network import build_exact_network
from elman.compression.exact_prior import trained_counts
from elman.compression.predictor import Predictor
from elman.compression.range_coder import Coder
from elman.compression.tokens import from_tokens, to_tokens
from elman.config import CodecAdapt
from elman.errors import ElmanError, shorten
from elman.inference.adaptation import OnProgress, check_adapt
from elman.processes import thread_count

if TYPE_CHECKING:
    from elman.inference.model import Model

Block = tuple[Ints, int]
"""Tokens (steps, R), see `elman.compression.blocks`, and how many there are."""
_A = TypeVar("_A")
_B = TypeVar("_B")


MODES: dict[CodecAdapt | None, Mode] = {
    None: Mode.STATIC,
    "weights": Mode.WEIGHTS,
    "counts": Mode.ADAPTIVE_COUNTS,
    "both": Mode.BOTH,
    "mixture": Mode.MIXTURE,
    "bitwise": Mode.BITWISE_BACKGROUND,
    "all": Mode.ALL,
}
"""What adapts -> the mode of new files, except for short ones."""


def choose_mode(adapt: CodecAdapt | None, size: int) -> Mode:
    """Return the mode of a new file of so many bytes: of a short one, `Mode.BITWISE`, whose header is shorter."""
    mode = MODES[adapt]
    return Mode.BITWISE if mode is Mode.BITWISE_BACKGROUND and size < 2 * blocks.MIN_SUBSTREAM_SIZE else mode


def compress(
    model: Model, data: bytes, *, adapt: bool | CodecAdapt = False, on_progress: OnProgress | None = None
) -> bytes:
    """Return `data` compressed; `decompress` with the same model restores it.

    Parameters
    ----------
    model : Model
    data : bytes
        Any bytes. Those that are not UTF-8, or characters outside the model's alphabet, are preserved at some cost.
    adapt : bool or str
        What changes while coding, which makes files smaller, if the text has some length. "weights", or True: the
        network is trained online, with one substream instead of several, about ten times slower. "counts": the
        n-gram prior counts the text that is coded, on one core. "both": both. "mixture": a mixture of experts learns,
        see `elman.compression.experts.mixing`. "bitwise": the same, and bitwise context mixing, see
        `elman.compression.bitwise`. "all": the same, and the network is trained; large ones in 2 to 8 substreams.
    on_progress : callable, optional

    Raises
    ------
    ElmanError
        If `adapt` is something else, if counts are to be adapted and the model has no n-gram prior, or if the codec
        does not have the model's cell.
    """
    kind: CodecAdapt | None = ("weights" if adapt else None) if isinstance(adapt, bool) else adapt
    if kind is not None and kind not in get_args(CodecAdapt):
        raise ElmanError(f"--adapt must be one of {', '.join(get_args(CodecAdapt))} (got {shorten(kind)})")
    check_adapt(model.parameters, kind)
    return compress_in_mode(model, data, choose_mode(kind, len(data)), on_progress)


def compress_in_mode(model: Model, data: bytes, mode: Mode, on_progress: OnProgress | None = None) -> bytes:
    """Return `data` compressed in a mode, or stored; `compress` chooses among those that are not former ones."""
    digest = fingerprint(model)
    tokens = to_tokens(data, model.alphabet)
    encode = _block_encoder(model, mode, len(tokens), token_counter(len(tokens), on_progress))
    payloads = list(_map_blocks(mode, encode, blocks.split_blocks(tokens, _substreams(model, mode, len(tokens)))))
    file = container.serialize(container.make_header(mode, len(tokens), digest, data), payloads)
    stored = container.make_header(Mode.STORED, len(data), digest, data)
    return min(file, container.serialize(stored, [data]), key=len)


def decompress(model: Model, file: bytes, *, on_progress: OnProgress | None = None) -> bytes:
    """Return the original of a compressed file.

    Parameters
    ----------
    model : Model
    file : bytes
    on_progress : callable, optional

    Raises
    ------
    ElmanError
        If the file is not a compressed one, has a newer format, was compressed by another model, or is truncated or
        corrupted.
    """
    header, offset = container.read_header(file)
    expected = fingerprint(model)[: len(header.fingerprint)]
    if header.fingerprint != expected:
        raise ElmanError(
            f"the file was compressed by another model (fingerprint {header.fingerprint.hex()}, this model has"
            f" {expected.hex()}): use the run that compressed it"
        )
    if header.mode == Mode.STORED:
        data = file[offset:]
    else:
        data = _decode_payloads(model, header, file, offset, token_counter(header.N, on_progress))
    if header.mode == Mode.STORED and len(data) != header.N:
        raise container.corrupt_file_error("its length differs from the one in its header")
    if container.checksum(header.N, data) != header.checksum:
        raise container.corrupt_file_error("the checksum of the decompressed data does not match")
    return data


def fingerprint(model: Model) -> bytes:
    """Return the SHA-256 of everything the codec depends on.

    That is the alphabet, the weights as float32 and, of an n-gram prior, the order, the discount and the counted text.
    """
    alphabet = model.alphabet
    digest = hashlib.sha256(f"{alphabet.has_unknown}\0{alphabet.characters}\0".encode("utf-8", "surrogatepass"))
    for name, array in sorted(model.parameters.items()):
        digest.update(f"{name} {array.shape}\0".encode())
        with np.errstate(over="ignore"):
            digest.update(np.ascontiguousarray(array, "<f4").data)
    if model.parameters.ngrams is not None:
        ngrams = trained_counts(model.parameters.ngrams)
        digest.update(f"{ngrams.order} {float(ngrams.discount)!r} {len(ngrams.text)}\0".encode())
        digest.update(np.ascontiguousarray(ngrams.text, "<u4").data)
    return digest.digest()


def token_counter(N: int, on_progress: OnProgress | None) -> Callable[[int], None]:
    """Return a function to call with the number of tokens that were just coded, of N."""
    if on_progress is None:
        return lambda n: None
    lock, coded = Lock(), 0

    def count(n: int) -> None:
        nonlocal coded
        with lock:
            coded += n
            on_progress(coded / N)

    return count


def _decode_payloads(
    model: Model, header: container.Header, file: bytes, offset: int, count_coded: Callable[[int], None]
) -> bytes:
    payloads = container.read_payloads(file, offset, blocks.count_blocks(header.N))
    mode = header.mode
    if mode.adapts_counts and model.parameters.ngrams is None:
        raise container.corrupt_file_error("its mode needs a model with an n-gram prior")
    R = _substreams(model, mode, header.N)
    sized_payloads = zip(payloads, blocks.block_sizes(header.N, R), strict=True)
    decoded = _map_blocks(mode, _block_decoder(model, header, R, count_coded), sized_payloads)
    return b"".join(from_tokens(tokens, model.alphabet) for tokens in blocks.join_blocks(decoded, R))


def _substreams(model: Model, mode: Mode, N: int) -> int | None:
    """Return the number of substreams of a text of N tokens; None in static mode, where each block has its own."""
    weights = sum(array.size for _, array in model.parameters.items())
    return blocks.count_substreams(N, mode, weights) if mode.is_adaptive else None


def _block_encoder(model: Model, mode: Mode, N: int, count_coded: Callable[[int], None]) -> Callable[[Block], bytes]:
    """Return a function that encodes a block of N tokens to its payload."""
    predictor = predictor_factory(model, mode, N)

    def encode(block: Block) -> bytes:
        table, n = block
        coder = Coder()
        with np.errstate(over="ignore", invalid="ignore"):  # weights may have any size; overflow has a defined result
            predictor(table.shape[1]).code(coder, table, n, count_coded)
        return coder.finish()

    return encode


def _block_decoder(
    model: Model, header: container.Header, fixed_R: int | None, count_coded: Callable[[int], None]
) -> Callable[[tuple[bytes, int]], Block]:
    """Return a function that decodes a payload and a number n to a block of n tokens.

    In adaptive modes every block has `fixed_R` substreams.
    """
    mode = header.mode
    predictor = predictor_factory(model, mode, header.N)

    def decode(sized_payload: tuple[bytes, int]) -> Block:
        payload, n = sized_payload
        R = fixed_R or blocks.count_substreams(n, mode)
        table = blocks.interleave(np.zeros(n, np.int32), R)
        coder = Coder(payload)
        with np.errstate(over="ignore", invalid="ignore"):  # weights may have any size; overflow has a defined result
            predictor(R).code(coder, table, n, count_coded)
        coder.finish()
        return table, n

    return decode


def predictor_factory(model: Model, mode: Mode, N: int) -> Callable[[int], Predictor]:
    """Return a function that gives the predictor of a block in R substreams, of a text of N tokens.

    Static blocks are independent, so each gets a new one; in adaptive modes one predictor continues from block to
    block.
    """
    network, alphabet, ngrams = build_exact_network(model.parameters), model.alphabet, model.parameters.ngrams

    def make(R: int) -> Predictor:
        return Predictor(network, alphabet, ngrams, R, -(-N // R), mode)

    return functools.cache(make) if mode.is_adaptive else make


def _map_blocks(mode: Mode, function: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
    """Yield the result of `function` for each block: in parallel on all cores or, in adaptive modes, sequentially."""
    if mode.is_adaptive:
        yield from map(function, items)
        return
    workers, remaining = thread_count(), iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, workers)):  # no more at once, as the next may fail to decode
            yield from pool.map(function, batch)
