"""Compression and decompression: one sequence of steps, run by an encoder or by a decoder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from elman.compression import blocks, container
from elman.compression.container import Mode
from elman.compression.exact_kernels import Ints
from elman.compression.exact_network import ExactNetwork, Step, build_exact_network, forward_step
from elman.compression.predictor import SymbolPredictor
from elman.compression.range_coder import Coder, Decoder, Encoder
from elman.compression.tokens import Tokens, from_tokens, to_tokens
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference.model import Model
    from elman.text import Alphabet

_A = TypeVar("_A")
_B = TypeVar("_B")


def compress(model: Model, data: bytes, *, adapt: bool = False) -> bytes:
    """Return `data` compressed; `decompress` with the same model restores it.

    Parameters
    ----------
    model : Model
    data : bytes
        Any bytes. Those that are not UTF-8, or characters outside the model's alphabet, are preserved at some cost.
    adapt : bool
        Whether to train the network online while coding: smaller files for texts of some length, but one substream
        instead of several, and ten to fifteen times slower.

    Raises
    ------
    ElmanError
        If the codec does not have the model's cell, or the library constriction is not installed.
    """
    digest = fingerprint(model)
    tokens = to_tokens(data, model.alphabet)
    mode = Mode.ADAPTIVE if adapt else Mode.STATIC
    payloads = list(_map_blocks(mode, _block_encoder(model, mode), blocks.split_blocks(tokens)))
    file = container.serialize(container.make_header(mode, len(tokens), digest, data), payloads)
    stored = container.make_header(Mode.STORED, len(data), digest, data)
    return min(file, container.serialize(stored, [data]), key=len)


def decompress(model: Model, file: bytes) -> bytes:
    """Return the original of a compressed file.

    Raises
    ------
    ElmanError
        If the file is not a compressed one, has a newer format, was compressed by another model, is truncated or
        corrupted; or if the library constriction is not installed.
    """
    header, offset = container.read_header(file)
    expected = fingerprint(model)[: len(header.fingerprint)]
    if header.fingerprint != expected:
        raise ElmanError(
            f"the file was compressed by another model (fingerprint {header.fingerprint.hex()}, this model has"
            f" {expected.hex()}): use the run that compressed it"
        )
    data = file[offset:] if header.mode == Mode.STORED else _decode_payloads(model, header, file, offset)
    if header.mode == Mode.STORED and len(data) != header.N:
        raise container.corrupt_file_error("its length differs from the one in its header")
    if container.checksum(header.N, data) != header.checksum:
        raise container.corrupt_file_error("the checksum of the decompressed data does not match")
    return data


def fingerprint(model: Model) -> bytes:
    """Return the SHA-256 of everything the codec depends on: the alphabet, and the weights as float32."""
    alphabet = model.alphabet
    digest = hashlib.sha256(f"{alphabet.has_unknown}\0{alphabet.characters}\0".encode("utf-8", "surrogatepass"))
    for name, array in sorted(model.parameters.items()):
        digest.update(f"{name} {array.shape}\0".encode())
        with np.errstate(over="ignore"):
            digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.digest()


def _decode_payloads(model: Model, header: container.Header, file: bytes, offset: int) -> bytes:
    payloads = container.read_payloads(file, offset, blocks.count_blocks(header.N))
    sized_payloads = zip(payloads, blocks.block_sizes(header.N), strict=True)
    decoded = _map_blocks(header.mode, _block_decoder(model, header.mode), sized_payloads)
    return b"".join(from_tokens(tokens, model.alphabet) for tokens in decoded)


def _block_encoder(model: Model, mode: Mode) -> Callable[[Tokens], bytes]:
    """Return a function that encodes the tokens of a block to its payload."""
    predictor = _predictor_factory(model, mode)

    def encode(tokens: Tokens) -> bytes:
        R = blocks.count_substreams(len(tokens), mode)
        encoder = Encoder()
        _code_block(encoder, predictor(R), blocks.interleave(tokens, R), len(tokens))
        return encoder.finish()

    return encode


def _block_decoder(model: Model, mode: Mode) -> Callable[[tuple[bytes, int]], Tokens]:
    """Return a function that decodes a payload and a number n to the n tokens of a block."""
    predictor = _predictor_factory(model, mode)

    def decode(block: tuple[bytes, int]) -> Tokens:
        payload, n = block
        R = blocks.count_substreams(n, mode)
        table = blocks.interleave(np.zeros(n, np.int32), R)
        decoder = Decoder(payload)
        _code_block(decoder, predictor(R), table, n)
        decoder.finish()
        return blocks.deinterleave(table, n)

    return decode


def _predictor_factory(model: Model, mode: Mode) -> Callable[[int], SymbolPredictor]:
    """Return a function that gives the predictor of a block in R substreams.

    Static blocks are independent, so each gets a new one; in adaptive mode one predictor continues from block to block.
    """
    network = build_exact_network(model.parameters)
    start = _read_start_char(network, model.alphabet)
    if mode == Mode.STATIC:
        return lambda R: SymbolPredictor(network, model.alphabet, start, R)
    predictor = SymbolPredictor(network, model.alphabet, start, 1, adaptive=True)
    return lambda R: predictor


def _read_start_char(network: ExactNetwork, alphabet: Alphabet) -> Step:
    """Return the step that precedes every substream: the alphabet's start character, read in a state of zeros.

    The state at the end of training is not used: it still encodes where that was, mostly in the middle of a line,
    which would cost small files bytes.
    """
    x = alphabet.encode(alphabet.start_char).astype(np.int64)
    return forward_step(network, np.zeros((network.P, 1, network.m), np.float32), x)


@np.errstate(over="ignore", invalid="ignore")  # weights may have any size, and overflow has a defined result
def _code_block(coder: Coder, predictor: SymbolPredictor, table: Ints, n: int) -> None:
    """Code n tokens, in `table` (steps, R) for an encoder; a decoder writes them there.

    Where n is not divisible by R, the substreams that have ended keep reading the first character and code nothing.
    """
    K = predictor.network.K
    for t, row in enumerate(table):
        active = row[: n - len(row) * t]
        symbols = coder.code(predictor.predict_symbols()[: len(active)], np.minimum(active, K))
        escaped = np.flatnonzero(symbols == K)
        if len(escaped):
            symbols[escaped] = K + coder.code(predictor.predict_bytes(escaped), active[escaped] - K)
        active[:] = symbols
        predictor.advance(row, escaped)


def _map_blocks(mode: Mode, function: Callable[[_A], _B], items: Iterable[_A]) -> Iterator[_B]:
    """Yield the result of `function` for each block: in parallel on all cores or, in adaptive mode, sequentially."""
    if mode == Mode.ADAPTIVE:
        yield from map(function, items)
        return
    workers, remaining = os.cpu_count() or 1, iter(items)
    with ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(remaining, workers)):  # no more at once, as the next may fail to decode
            yield from pool.map(function, batch)
