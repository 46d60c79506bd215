"""A trained model: a network with its alphabet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np

from elman.config import Adapt, accept_former_names
from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.errors import ElmanError
from elman.inference.adaptation import check_adapt, score_adapting
from elman.inference.copying import Copying, measure_copying
from elman.inference.generate import MAX_BEAM_WIDTH, beam_search, cut_at_stop, generate_batch, stream_text
from elman.inference.score import Score, check_finite, score_windows
from elman.network import Parameters, SamplingParams
from elman.network.parameters import Array, architecture
from elman.network.sampling import SamplingOptions, create_sampling_params
from elman.text import Alphabet, with_unknown
from elman.text.lines import LineHashes, hash_line, make_lines

MAX_SAMPLES, MAX_TOTAL_CHARS = 10_000, 100_000_000
"""Samples in one batch, and their characters in total: all are held in memory until the last is complete."""


FORMER_NAMES = {"prime": "prompt", "random_state": "seed"}


class GenerationOptions(SamplingOptions, total=False):
    """Options of text generation; see `Model.stream`."""

    prompt: str
    stop: str
    seed: int | None
    adapt: Literal[False, "counts"]


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model, as read from a checkpoint.

    Parameters
    ----------
    alphabet : Alphabet
        K characters.
    parameters : Parameters
        U (m, K), W (m, m), V (K, m), b (m,), c (K,) of the vanilla network; see `elman.network.parameters`.
    h : ndarray, shape (D,)
        The initial state: the one in which training ended. The network has met a zero state only once per epoch;
        saturated units may keep it among states that it never learned from.
    engine : Engine
        The engine that computes with them.
    line_hashes : ndarray of uint64, optional
        Of a model of independent lines: the hashes of the lines it was trained on, see `in_training_text`.
    """

    alphabet: Alphabet
    parameters: Parameters
    h: Array
    engine: Engine
    line_hashes: LineHashes | None = None

    def __repr__(self) -> str:
        """Return a one-line summary without the weights."""
        network = architecture(self.parameters)
        return (
            f"<Model: {network.layers} x {network.cell} {network.m}, {len(self.alphabet)} characters,"
            f" {self.h.dtype}, {self.engine.name}{', independent lines' if self.is_of_lines else ''}>"
        )

    @property
    def is_of_lines(self) -> bool:
        """Whether it models independent lines (``--lines``): it is reset at every line feed."""
        return self.parameters.reset_at is not None

    def in_training_text(self, line: str) -> bool:
        """Return whether a model of independent lines was trained on a line; validation lines do not count.

        Raises
        ------
        ElmanError
            If it is no such model, or was imported.

        Examples
        --------
        >>> import elman
        >>> options = {"preset": "reference", "engine": "numpy", "seq_length": 5, "max_updates": 1}
        >>> model = elman.train(elman.Corpus.from_text("Ada\\nGrace\\nAlan\\n"), lines=True, **options).model
        >>> model.in_training_text("Grace"), model.in_training_text("Gra")
        (True, False)
        """
        if self.line_hashes is None:
            reason = "it was imported" if self.is_of_lines else "train with --lines"
            raise ElmanError(f"this model does not know the lines of its training text: {reason}")
        hashed = np.uint64(hash_line(line))
        at = np.searchsorted(self.line_hashes, hashed)
        return bool((self.line_hashes[at : at + 1] == hashed).any())

    def arrange(self, indices: Indices) -> Indices:
        """Return a text as this model is evaluated on it: unchanged, or as independent lines, all of which count."""
        return make_lines(indices, self.alphabet).indices if self.is_of_lines else indices

    @accept_former_names(FORMER_NAMES)
    def stream(
        self,
        length: int = 1000,
        *,
        prompt: str = "",
        stop: str = "",
        seed: int | None = None,
        adapt: Literal[False, "counts"] = False,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """Generate text, and yield it in chunks as it is sampled.

        Parameters
        ----------
        length : int
            Maximum number of characters to generate.
        prompt : str
            Text to continue; it is not part of the output. Without a prompt the network reads a line feed, if its
            alphabet has one, so that the output begins a line. A model of independent lines always begins a line, and
            the prompt is its beginning.
        stop : str
            End before this string would be generated. A model of independent lines also ends at the end of the line.
        seed : int, optional
            The same seed gives the same text. Without one every call differs.
        adapt : False or "counts"
            Whether the n-gram prior counts the prompt as well, for this call only: the text then follows the prompt
            more closely. What is generated is not counted.
        **options
            The sampling options: the fields of `elman.network.SamplingParams`, such as ``temperature=0.7``.

        Raises
        ------
        ElmanError
            If an option is out of its range, `prompt` contains a character that the model does not know, or there is
            no n-gram prior to `adapt`.
        """
        sampling = _check_options(length, seed, options)
        parameters, h, x = self._prefill(prompt, adapt)
        generator = np.random.default_rng(seed)
        chunks = stream_text(self.engine, parameters, self.alphabet, h, x, length, sampling, generator)
        return self._cut(stop, chunks)

    @accept_former_names(FORMER_NAMES)
    def sample(self, length: int = 1000, **options: Unpack[GenerationOptions]) -> str:
        """Generate text and return it complete; the options are those of `stream`."""
        return "".join(self.stream(length, **options))

    @accept_former_names(FORMER_NAMES)
    def samples(self, count: int, length: int = 1000, **options: Unpack[GenerationOptions]) -> list[str]:
        """Generate several texts as one batch, which takes little longer than one.

        Parameters
        ----------
        count : int
            Number of texts.
        length : int
            Maximum number of characters of each.
        **options
            Those of `stream`. The first text is sampled with `seed`, the next with `seed` + 1, and so on, so that no
            text depends on how many there are.

        Raises
        ------
        ElmanError
            As `stream`, or if `count` is less than 1, or so large that the texts might not fit in memory.
        """
        _check(("--count", count, 1 <= count <= MAX_SAMPLES, f"from 1 to {MAX_SAMPLES:,}"))
        if count * length > MAX_TOTAL_CHARS:
            raise ElmanError(
                f"--count times --length must be at most {MAX_TOTAL_CHARS:,} characters (got {count * length:,});"
                " a single sample may have any length"
            )
        return self._generate_batch(count, length, **options)

    def _generate_batch(
        self,
        count: int,
        length: int,
        prompt: str = "",
        stop: str = "",
        seed: int | None = None,
        adapt: Literal[False, "counts"] = False,
        **options: Unpack[SamplingOptions],
    ) -> list[str]:
        sampling = _check_options(length, seed, options)
        parameters, h, x = self._prefill(prompt, adapt)
        generators = [np.random.default_rng(None if seed is None else seed + n) for n in range(count)]
        texts = generate_batch(
            self.engine.session(parameters), self.alphabet, h, x, length, sampling, generators, self.parameters.reset_at
        )
        return ["".join(self._cut(stop, iter([text]))) for text in texts]

    def _cut(self, stop: str, chunks: Iterator[str]) -> Iterator[str]:
        """Yield text until it ends: at the stop string or, of independent lines, at the end of the line."""
        chunks = cut_at_stop("\n", chunks) if self.is_of_lines else chunks
        return cut_at_stop(stop, chunks) if stop else chunks

    @accept_former_names(FORMER_NAMES)
    def beam(
        self,
        width: int,
        length: int = 1000,
        *,
        prompt: str = "",
        stop: str = "",
        adapt: Literal[False, "counts"] = False,
    ) -> Iterator[str]:
        """Yield the most likely text that a beam search of this width finds, in chunks as soon as they are final.

        The most likely texts of small models repeat themselves; for prose use `stream`.

        Raises
        ------
        ElmanError
            As `stream`.
        """
        _check(
            ("--beam", width, 1 <= width <= MAX_BEAM_WIDTH, f"from 1 to {MAX_BEAM_WIDTH:,}"),
            ("--length", length, length >= 0, "at least 0"),
        )
        parameters, h, x = self._prefill(prompt, adapt)
        chunks = beam_search(self.engine.session(parameters), self.alphabet, h, x, length, width)
        return self._cut(stop, chunks)

    def _prefill(self, prompt: str, adapt: Literal[False, "counts"]) -> tuple[Parameters, Array, int]:
        """Read the prompt but for its last character, whose counts the prior adds with `adapt`.

        Returns
        -------
        parameters : Parameters
            Those that the text is generated with.
        h : ndarray, shape (D,)
        x : int
            The last character.
        """
        if adapt not in (False, "counts"):
            raise ElmanError(f"--adapt must be counts to generate text (got {adapt})")
        check_adapt(self.parameters, adapt or None)
        parameters = self.parameters.continued() if adapt else self.parameters
        indices, h = self.alphabet.encode(prompt or self.alphabet.start_char), self.h
        if len(indices) > 1:
            _, h = self.engine.loss(parameters, h, indices[:-1], indices[1:])
        return parameters.frozen() if adapt else parameters, h, int(indices[-1])

    def score(self, text: str, *, adapt: bool | Adapt = False, window: int | None = None) -> Score:
        """Return the cross-entropy of a text, read from the state in which training ended.

        Parameters
        ----------
        text : str
            Unknown characters cost what `elman.text.unknown` says. A model of independent lines reads it as such, and
            predicts every line from its first character to its end.
        adapt : bool or str
            What adapts to the text just scored: ``weights`` (or True), which is dynamic evaluation, ``counts``, those
            of the n-gram prior, or ``both``. The model itself does not change. See `elman.inference.adaptation`.
        window : int, optional
            Read windows of so many characters, each from a state of zeros, instead of the complete text. See
            `elman.inference.score.score_windows`.

        Raises
        ------
        ElmanError
            If the text has fewer than two characters, an option is out of its range, there is no n-gram prior to
            adapt, or the network's output is not finite.
        """
        if adapt and window is not None:
            raise ElmanError("cannot combine --window with --adapt: every window starts from the same model")
        indices = self.arrange(with_unknown(self.alphabet).encode(text))
        if window is None:
            result = score_adapting(self.engine, self.parameters, self.h, indices, adapt)
        else:
            result = score_windows(self.engine, self.parameters, indices, window)
        check_finite(result.nats)
        return result

    def measure_copying(self, text: str, source: str | None = None) -> Copying:
        """Return how much of a text, such as a sample, is copied from the training text.

        Parameters
        ----------
        text : str
        source : str, optional
            The training text. By default the one that the n-gram prior has counted.

        Raises
        ------
        ElmanError
            If there is neither.

        Examples
        --------
        >>> import elman
        >>> model = elman.train("a rose is a rose is a rose", preset="reference", max_updates=1, ngram_order=2).model
        >>> model.measure_copying("it is a rose").longest_run
        ' is a rose'
        """
        if source is None and self.parameters.ngrams is None:
            raise ElmanError(
                "--copied requires a model with an n-gram prior, which contains its training text: pass the training"
                " text of this one with --copied-from"
            )
        if source is None and self.parameters.ngrams is not None:
            source = self.alphabet.decode(self.parameters.ngrams.text)
        return measure_copying(text, source or "")


def _check_options(length: int, seed: int | None, options: Mapping[str, Any]) -> SamplingParams:
    """Return the sampling parameters, after checking the range of every option."""
    _check(("--length", length, length >= 0, "at least 0"))
    sampling = create_sampling_params(options)
    _check(("--seed", seed, seed is None or seed >= 0, "at least 0"))
    return sampling


def _check(*ranges: tuple[str, float | None, bool, str]) -> None:
    for name, value, fits, expected in ranges:
        if not fits:
            raise ElmanError(f"{name} must be {expected} (got {value})")
