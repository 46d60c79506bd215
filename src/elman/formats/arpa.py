"""ARPA, the text format of KenLM, SRILM and decoders: the distributions of the n-gram counts, without the network.

A word is a character. Characters that would end a word or a line, and lone surrogates, have names.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import numpy as np

from elman.errors import ElmanError, option, quote
from elman.formats.arpa_text import BEGIN, END, NEVER, UNKNOWN, UNKNOWN_LOG, make_model, parse_arpa, write_arpa
from elman.formats.format import Format, ModelInfo
from elman.model import Model
from elman.network.parameters import Architecture, Parameters
from elman.runs.snapshot import Snapshot, infer_config
from elman.text import Alphabet, with_unknown

SPACES = ("<sp>", "<space>", "\u2581", "|")
"""Words for the space: `write` uses the first. `read` uses the first of them in the file, in upper or lower case."""
SPACE_HELP = "Word for the space in an ARPA file, such as | for many CTC vocabularies; by default <sp>."
_NAMES = {"\n": "<nl>", "\t": "<tab>"}
_NAMED_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def write(
    model: Model,
    _: ModelInfo,
    *,
    order: Annotated[
        int | None,
        "Maximum length of the n-grams in an ARPA file, at least 2; by default {ngram_order}. KenLM's own"
        " default maximum is 6.",
    ] = None,
    space: Annotated[str, SPACE_HELP] = "",
) -> Iterator[bytes]:
    """Return the pieces of a file."""
    if model.parameters.ngrams is None:
        raise ElmanError(f"this model has no n-gram counts to export: train with {option.ngram_order:8}")
    if model.parameters.architecture.m:
        warnings.warn("the file has the n-gram counts of the model, and not its network", stacklevel=3)
    return write_arpa(model.parameters.ngrams, name_characters(model.alphabet, space or SPACES[0]), order)


def name_characters(alphabet: Alphabet, space: str = SPACES[0]) -> list[str]:
    """Return the word of each character; `space` is the word for the space."""
    words = [_name(character) for character in alphabet.characters]
    if alphabet.has_unknown:
        words[-1] = UNKNOWN
    if space.split() != [space] or space in {*words, BEGIN, END, UNKNOWN}:
        raise ElmanError(f"{option.space} must be a word that no other character has (got {quote(space)})")
    if space not in SPACES and (len(space) > 1 or _name(space) != space):
        allowed = f"one character, or one of {', '.join(SPACES[:2])}"
        raise ElmanError(f"{option.space} must be {allowed} (got {quote(space)})")
    return [space if word == " " else word for word in words]


def _name(character: str) -> str:
    is_named = unicodedata.category(character) in _NAMED_CATEGORIES
    return _NAMES.get(character, f"<U+{ord(character):04X}>" if is_named else character)


def read(path: Path, alphabet: Alphabet | None, *, space: str = "") -> Snapshot:
    """Return the model in an untrusted file, whose words must be characters, without a network."""
    # Lines are independent if ``</s>`` has a probability. ``<unk>`` is an unknown symbol if its probability is higher
    # than the one that `write` gives it.
    if alphabet is not None:
        raise ElmanError(f"it contains its characters: remove {option.alphabet}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            words, levels = parse_arpa(cast("BinaryIO", file), path.stat().st_size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ElmanError(f"it is a damaged gzip file ({error})") from None
    words = [UNKNOWN if word == UNKNOWN.upper() else word for word in words]  # as in KenLM
    log_p = dict(zip(words, levels[0][1][:, 0].tolist(), strict=True))
    if space and space not in log_p:
        raise ElmanError(f"it has no word {quote(space)}: change {option.space}")
    space = space or next((word for each in SPACES for word in words if word.lower() == each), "")
    line_ends = (BEGIN, END) if log_p.get(END, NEVER) > NEVER else ()
    others = {BEGIN, END, UNKNOWN}.difference(line_ends[1:])
    characters = {word: "\n" if word == END else _parse_word(word, space) for word in words if word not in others}
    alphabet = Alphabet("".join(characters.values()))
    if log_p.get(UNKNOWN, NEVER) > UNKNOWN_LOG + 1e-6:
        alphabet = with_unknown(alphabet)
        characters[UNKNOWN] = alphabet.characters[-1]
    characters |= dict.fromkeys(line_ends, "\n")
    index = {character: k for k, character in enumerate(alphabet.characters)} | {"": -1}
    ngrams = make_model(words, levels, np.array([index[characters.get(word, "")] for word in words]))
    net = Architecture(len(alphabet), 0, context_length=ngrams.context_length, reset_at=ngrams.reset_at)
    arrays = {name: np.full(shape, float(name == "alpha"), np.float32) for name, shape in net.shapes().items()}
    parameters = Parameters(net, arrays, ngrams)
    return Snapshot(infer_config(alphabet, parameters, None), alphabet, parameters, np.zeros(0, np.float32))


def _parse_word(word: str, space: str) -> str:
    """Return the character of a word."""
    names = {name: character for character, name in _NAMES.items()} | {space: " "}
    code = re.fullmatch(r"<U\+([0-9A-F]{4,6})>", word)
    character = chr(int(code[1], 16)) if code else names.get(word, word)
    if len(character) != 1:
        points = "" if word.isascii() else f" ({' '.join(f'U+{ord(each):04X}' for each in word[:8])})"
        remedy = f"a model predicts single characters; if it is the space, pass {option.space:{quote(word)}}"
        raise ElmanError(f"its word {quote(word)}{points} is not a character: {remedy}")
    return character


FORMAT = Format(".arpa", "n-gram counts, for KenLM and decoders", write, read, also_reads=(".arpa.gz",))
