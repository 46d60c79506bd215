"""The texts of a run: read, found again when it is resumed, and split into training and validation windows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elman.config import Config
from elman.engine_registry import ENGINES
from elman.errors import ElmanError, format_count, option, quote, shorten
from elman.runs.directory import RunManifest
from elman.storage import exists, is_directory, is_file, require_regular_file
from elman.text import Alphabet, Corpus, Source, Windows, check_alphabet_size, has_piped_text, read_corpus
from elman.text.formats import describe_newlines, find_record_format
from elman.text.kinds import TextKind, choose_min_count, look
from elman.text.lines import Indices, count_training_lines, hash_training_lines, make_lines, shuffle_corpus, split_lines
from elman.text.sources import BUILTIN_CORPORA, STANDARD_INPUT, is_builtin
from elman.text.unknown import replace_rare

Text = Source | Sequence[Source] | Corpus
"""The sources of the text of a run, see `elman.text.read_corpus`."""

DEFAULT_TEXT = "python-docs"
"""The training text of examples that name no text."""

PIECES = 48
"""Maximum number of pieces of a validation set that validations read."""
MIN_PIECE = 1000
"""Minimum length of such a piece: its first characters do not follow the characters that precede them in the text."""


class TrainingData:
    """The texts of a run, and the windows into which its settings split them.

    Raises ElmanError if the training set is shorter than B T + 1 characters, or the validation set shorter than T + 1.
    A text of independent lines must be shuffled. `validation` is the text of the validation set if it is a separate
    file.
    """

    def __init__(self, config: Config, corpus: Corpus, validation: Corpus | None = None) -> None:
        self.config, self.corpus, self.validation = config, corpus, validation
        self._lines = lines = None
        if config.lines:
            self._lines, lines = split_lines(corpus, config.validation_fraction)
            lines = lines if validation is None else make_lines(validation.indices, corpus.alphabet)
        self.line_hashes = None if self._lines is None else hash_training_lines(corpus, self._lines)
        self.windows = self._split(0)
        self._latest = 0, self.windows  # epoch and windows
        self.validation_set: Indices | None = None
        self.validation_sample: Indices | None = None
        """The part of the validation set that validations read, or all of it, see `Config.validation_chars`."""
        if lines is not None:
            self.validation_set = lines.indices
            self.validation_sample = lines.sample(config.validation_chars).indices
        elif config.validation:
            self.validation_set = self._end_of_text() if validation is None else validation.indices
            self.validation_sample = sample_text(self.validation_set, config.validation_chars, corpus.alphabet)

    def windows_of(self, epoch: int) -> Windows:
        """Return the training windows of an epoch, always as many; independent lines are shuffled every epoch."""
        if self._lines is None:
            return self.windows
        if self._latest[0] != epoch:
            self._latest = epoch, self._split(epoch)
        return self._latest[1]

    def _split(self, epoch: int) -> Windows:
        config, moves = self.config, None
        if self._lines is None:
            indices = self.corpus.indices[: training_length(self.corpus, config)]
        else:
            lines, moves = self._lines.shuffle(config.seed, epoch) if epoch else (self._lines, None)
            indices = lines.indices
        return Windows(indices, config.seq_length, config.batch_size, cross_fit=config.ngram_order > 0, moves=moves)

    def _end_of_text(self) -> Indices:
        config, N = self.config, len(self.corpus.indices)
        held_out = self.corpus.indices[training_length(self.corpus, config) :]
        if len(held_out) <= config.seq_length:
            needed = f"a sequence length of {config.seq_length:,} needs at least {config.seq_length + 1:,}"
            out = f"{option.validation:{config.validation}} holds out {len(held_out):,} of {N:,} characters"
            raise ElmanError(f"{out}, but {needed}: hold out more")
        return held_out

    def describe(self) -> str:
        """Return the name and the length of the training text."""
        description = describe_text(self.corpus)
        if self.validation is None:
            return description
        return f"{description}; validation on {self.validation.name}: {len(self.validation.indices):,} characters"


def sample_text(indices: Indices, chars: int, alphabet: Alphabet) -> Indices:
    """Return evenly spread pieces of a text with `chars` characters in total; the text itself if it is not longer.

    A piece begins after a line feed if there is one at a position from which the piece still fits.
    """
    N, pieces = len(indices), max(1, min(PIECES, chars // MIN_PIECE))
    if chars >= N:
        return indices
    length, feed = chars // pieces, alphabet.characters.find("\n")
    found = []
    for start in range(0, N - N // pieces + 1, N // pieces):
        feeds = np.flatnonzero(indices[start : start + N // pieces - length] == feed)
        first = start + (int(feeds[0]) + 1 if start and len(feeds) else 0)
        found.append(indices[first : first + length])
    return np.concatenate(found)


def training_length(corpus: Corpus, config: Config) -> int:
    """Return the number of training characters of a text; the held-out characters follow them."""
    N, fraction = len(corpus.indices), config.validation_fraction
    if not config.lines:
        return N - round(N * fraction)
    assert corpus.line_starts is not None
    return int(corpus.line_starts[count_training_lines(corpus, fraction)]) + 1


def describe_text(corpus: Corpus) -> str:
    """Return the name and the length of the text of a run."""
    name = "standard input" if corpus.name == "-" else shorten(corpus.name)
    files = [f"{len(corpus.files):,} files"] if len(corpus.files) > 1 else []
    files += [f"{format_count(corpus.skipped, 'binary file')} skipped"] if corpus.skipped else []
    about = f" ({'; '.join(files)})" if files else ""
    sample = ""
    if corpus.sampled is not None:
        chars, pieces = corpus.sampled
        where = f"in {format_count(pieces, 'piece')}, spread evenly ({option.max_chars})"
        sample = f"; sampled from {chars:,} characters {where}"
    K, newlines = len(corpus.alphabet), ""
    if corpus.newlines_translated:
        newlines = f"; {describe_newlines(corpus.newlines_translated)} ({option.keep_crlf:True} keeps them)"
    return f"training on {name}{about}: {len(corpus.indices):,} characters, {K:,} distinct{newlines}{sample}"


def suggest_field(paths: Iterable[str], field: str) -> str:
    """Return a hint if files of records are read as they are; otherwise an empty string."""
    for path in () if field else paths:
        if kind := find_record_format(path):
            read = f"{Path(path).name} is {kind}, and every character of it is read"
            return f"{read}: {option.field:NAME} reads one field only"
    return ""


def _reading_options(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in ("encoding", "keep_crlf", "field", "lines", "masker", "max_chars")}


def read_text(source: Text, config: Config, base: Alphabet | None = None, *, shuffled: bool = True) -> Corpus:
    """Read the text of a run; independent lines are `shuffled` into the order in which they are split.

    The alphabet begins with the characters of `base`, the alphabet of the fine-tuned model or the resumed run.
    """
    if base is not None and isinstance(source, Corpus) and (source.alphabet == base or source.alphabet.has_unknown):
        base = None  # it has this alphabet, or its rare characters are lost
    alphabet = None if base is None else Alphabet(base.characters[: len(base) - base.has_unknown])
    options: dict[str, Any] = {"alphabet": alphabet, "extend": True} | _reading_options(config)
    corpus = read_corpus(source, min_count=config.min_count, **options)
    return shuffle_corpus(corpus, config.seed) if config.lines and shuffled else corpus


class RunTexts(NamedTuple):
    """The texts of a new run, and the settings that follow from them."""

    config: Config
    corpus: Corpus
    validation: Corpus | None
    kind: TextKind | None = None
    """None if the kind of the text was not detected."""


def read_run_texts(
    source: Text | None, config: Config, base: Alphabet | None = None, passed: Mapping[str, Any] | None = None
) -> RunTexts:
    """Read the text of a new run, see `read_text`, and the text of the validation set if it is a file.

    Unless `passed` is None, the text decides how it is read, except for the settings that were passed.
    """
    if source is None:
        raise ElmanError(f"the text is missing: use a file or a built-in text ({', '.join(BUILTIN_CORPORA)})")
    if passed is None:
        corpus, kind = read_text(source, config, base), None
    else:
        passed = passed if "lines" not in ENGINES[config.engine].lacks else {**passed, "lines": False}
        has_lines = bool(config.field) and passed.get("lines") is not False  # each value is one, whatever it contains
        corpus = read_text(source, replace(config, lines=has_lines, mask="", mask_regex=""), shuffled=False)
        kind = look(corpus, passed)
        config = replace(config, **kind.settings)
        is_read_again = "field" in kind.settings or (has_lines and not config.lines)
        if config.lines or is_read_again:
            corpus = read_text(source if is_read_again else corpus, config)
        if "min_count" not in passed and (min_count := choose_min_count(corpus)):
            config, corpus = replace(config, min_count=min_count), replace_rare(corpus, min_count)
            kind = replace(kind, settings={**kind.settings, "min_count": min_count})
    check_alphabet_size(corpus, config.hidden_size)
    return RunTexts(config, corpus, read_validation_text(config, corpus), kind)


def read_validation_text(config: Config, corpus: Corpus, sha256: str = "") -> Corpus | None:
    """Return the validation text, encoded in the alphabet of the training text `corpus`; None if it is not a file.

    The text must have the given SHA-256, unless that is empty, and only characters that the alphabet can represent.
    """
    if not config.validation_file:
        return None
    path = Path(config.validation_file)
    name = quote(path)
    if sha256 and not os.path.lexists(path):
        raise ElmanError(f"the validation text {name} is no longer there: name its new path with {option.validation}")
    if exists(path) and not is_directory(path) and not is_file(path):  # a resumed run must be able to read it again
        raise ElmanError(f"the validation text {name} is a pipe or a device: pass a file with {option.validation}")
    text = read_corpus(config.validation_file, alphabet=corpus.alphabet, extend=True, **_reading_options(config))
    if sha256 and text.sha256 != sha256:
        digests = f"(SHA-256 {text.sha256[:12]}…, run: {sha256[:12]}…)"
        remedy = f"restore that text, or name its path with {option.validation}"
        raise ElmanError(f"{name} is not the validation text of the run {digests}: {remedy}")
    if unknown := text.alphabet.characters[len(corpus.alphabet) :]:
        more = f" and {format_count(len(unknown) - 1, 'other character')}" if len(unknown) > 1 else ""
        found = f"the validation text {quote(text.name)} contains {unknown[0]!r} (U+{ord(unknown[0]):04X}){more}"
        remedy = f"pass {option.min_count:1} to replace unknown characters by one symbol"
        raise ElmanError(f"{found}, which the training text does not contain: {remedy}")
    if len(text.indices) < 2:
        raise ElmanError(f"the validation text {quote(text.name)} has a single character: use a longer one")
    return text


def find_text(manifest: RunManifest | None, run: str) -> list[Source]:
    """Return the files of a run that is resumed without naming its text; `run` names the run in errors."""
    if manifest is None or not manifest.corpus.files:
        raise ElmanError(f"{run} does not record the file of its text: pass the text with {option.resume:True}")
    return [_find_file(file.path, run) for file in manifest.corpus.files]


def _find_file(path: str, run: str) -> Source:
    if path == STANDARD_INPUT and not has_piped_text():
        raise ElmanError(f"{run} was trained on standard input: pipe the text to it again, or pass its file")
    if path == STANDARD_INPUT or is_builtin(path):
        return path
    remedy = f"pass the text with {option.resume:True}"
    if not Path(path).is_absolute():
        raise ElmanError(f"{run} records a text without its directory ({quote(path)}): {remedy}")
    try:
        return require_regular_file(Path(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ElmanError(f"{run} was trained on {quote(path)}, which cannot be read ({reason}): {remedy}") from None


def require_unchanged(manifest: RunManifest, corpus: Corpus, run: str) -> None:
    """Check that the files of the text still have their recorded contents."""
    for before, now in zip(manifest.corpus.files, corpus.files, strict=False):
        if before.sha256 != now.sha256:
            text = "standard input" if now.path == STANDARD_INPUT else quote(now.path)
            digests = f"(SHA-256 {now.sha256[:12]}…, then {before.sha256[:12]}…)"
            remedy = f"restore it, or choose another {option.out}"
            raise ElmanError(f"{text} has changed since {run} was started {digests}: {remedy}")
