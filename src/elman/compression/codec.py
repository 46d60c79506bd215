"""Bytes to a compressed file and back: one course of steps, gone through by an encoder or a decoder."""

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
from elman.compression.exact_network import Ints, Network, Step, network_of, read
from elman.compression.predictor import Reading
from elman.compression.range_coder import Coder, Decoder, Encoder
from elman.compression.tokens import Tokens, from_tokens, to_tokens
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference.model import Model
    from elman.text import Alphabet

_A = TypeVar("_A")
_B = TypeVar("_B")


def compress(model: Model, data: bytes, *, adapt: bool = False) -> bytes:
    """Return `data` compressed, so that `decompress` with the same model gives it back.

    Parameters
    ----------
    model : Model
    data : bytes
        Any. What is not UTF-8 or not of the model's alphabet is kept, at some cost.
    adapt : bool
        Whether the network goes on learning from what it has coded: fewer bytes for a text of some length, one
        stream instead of several, and some ten to fifteen times the time.

    Raises
    ------
    ElmanError
        If the library constriction is not installed.
    """
    digest = fingerprint(model)
    tokens = to_tokens(data, model.alphabet)
    mode = Mode.LEARNING if adapt else Mode.FIXED
    payloads = list(_each(mode, _encoder(model, mode), blocks.cut(tokens)))
    file = container.write(container.header_of(mode, len(tokens), digest, data), payloads)
    stored = container.header_of(Mode.STORED, len(data), digest, data)
    return min(file, container.write(stored, [data]), key=len)


def decompress(model: Model, file: bytes) -> bytes:
    """Return what was compressed.

    Raises
    ------
    ElmanError
        If the file is no compressed one, of a newer version, of another model, truncated or altered; or if the
        library constriction is not installed.
    """
    header, at = container.read_header(file)
    own = fingerprint(model)[: len(header.fingerprint)]
    if header.fingerprint != own:
        raise ElmanError(
            f"the file was compressed by a model with the fingerprint {header.fingerprint.hex()}, and this one's is"
            f" {own.hex()}: give the run that compressed it"
        )
    data = file[at:] if header.mode == Mode.STORED else _decoded(model, header, file, at)
    if header.mode == Mode.STORED and len(data) != header.N:
        raise container.altered("it says that it is of another length")
    if container.checksum(header.N, data) != header.checksum:
        raise container.altered("its text has another checksum than it says")
    return data


def fingerprint(model: Model) -> bytes:
    """Return the SHA-256 of all that the codec takes from a model: the alphabet and the weights, rounded."""
    alphabet = model.alphabet
    digest = hashlib.sha256(f"{alphabet.folds}\0{alphabet.characters}\0".encode("utf-8", "surrogatepass"))
    for name, array in sorted(model.parameters.items()):
        digest.update(f"{name} {array.shape}\0".encode())
        with np.errstate(over="ignore"):
            digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.digest()


def _decoded(model: Model, header: container.Header, file: bytes, at: int) -> bytes:
    payloads = container.read_payloads(file, at, blocks.number(header.N))
    of_parts = zip(payloads, blocks.sizes(header.N), strict=True)
    tokens = _each(header.mode, _decoder(model, header.mode), of_parts)
    return b"".join(from_tokens(of_part, model.alphabet) for of_part in tokens)


def _encoder(model: Model, mode: Mode) -> Callable[[Tokens], bytes]:
    """Return what makes a payload of the tokens of a part."""
    reading = _readings(model, mode)

    def encode(tokens: Tokens) -> bytes:
        R = blocks.streams(len(tokens), mode)
        encoder = Encoder()
        _code(encoder, reading(R), blocks.side_by_side(tokens, R), len(tokens))
        return encoder.finish()

    return encode


def _decoder(model: Model, mode: Mode) -> Callable[[tuple[bytes, int]], Tokens]:
    """Return what makes the n tokens of a part of its payload and n."""
    reading = _readings(model, mode)

    def decode(part: tuple[bytes, int]) -> Tokens:
        payload, n = part
        R = blocks.streams(n, mode)
        table = blocks.side_by_side(np.zeros(n, np.int32), R)
        decoder = Decoder(payload)
        _code(decoder, reading(R), table, n)
        decoder.finish()
        return blocks.end_to_end(table, n)

    return decode


def _readings(model: Model, mode: Mode) -> Callable[[int], Reading]:
    """Return what gives the reading of a part in R streams: a new one, or one that goes on from part to part."""
    network = network_of(model.parameters)
    start = _start(network, model.alphabet)
    if mode == Mode.FIXED:
        return lambda R: Reading(network, model.alphabet, start, R)
    one = Reading(network, model.alphabet, start, 1, learns=True)
    return lambda R: one


def _start(network: Network, alphabet: Alphabet) -> Step:
    """Read what comes before every stream, the alphabet's beginning.

    It is read in a state of zero. The state that training ended in still has in it where that was, in the middle of
    a line most often, and small files would pay for that.
    """
    x = alphabet.encode(alphabet.beginning).astype(np.int64)
    return read(network, np.zeros((network.P, 1, network.m), np.float32), x)


@np.errstate(over="ignore", invalid="ignore")  # weights may be of any size, and what comes of it is defined
def _code(coder: Coder, reading: Reading, table: Ints, n: int) -> None:
    """Code n tokens, in `table` (steps, R) for an encoder; a decoder writes them there.

    Where R does not divide n, streams that have ended go on reading the first character, and code nothing.
    """
    K = reading.network.K
    for t, row in enumerate(table):
        going = row[: n - len(row) * t]
        symbols = coder.code(reading.symbols()[: len(going)], np.minimum(going, K))
        escaped = np.flatnonzero(symbols == K)
        if len(escaped):
            symbols[escaped] = K + coder.code(reading.bytes(escaped), going[escaped] - K)
        going[:] = symbols
        reading.read(row, escaped)


def _each(mode: Mode, job: Callable[[_A], _B], of: Iterable[_A]) -> Iterator[_B]:
    """Yield what `job` gives for each part, as many at a time as there are processors, or one after the other."""
    if mode == Mode.LEARNING:
        yield from map(job, of)
        return
    workers, left = os.cpu_count() or 1, iter(of)
    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(left, workers)):  # no more than that, should the next be one that cannot be decoded
            yield from pool.map(job, some)
