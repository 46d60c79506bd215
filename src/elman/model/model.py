"""A trained model: a network with its alphabet."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from elman.engine import Engine
from elman.engine.protocol import Indices
from elman.errors import ElmanError, check_range, checks_types, list_strings, option, quote, shorten
from elman.model import generate
from elman.model.lines import LINE_OPTIONS, LineLimits, draw_lines
from elman.model.score import Score, check_finite, score, score_windows
from elman.network import Parameters
from elman.network.parameters import Array, summarize
from elman.network.sampling import SamplingOptions
from elman.network.state import State
from elman.options import document_options
from elman.runs.snapshot import LineData, Snapshot, infer_config, save_network
from elman.storage.tensors import SUFFIX
from elman.text import Alphabet, with_unknown
from elman.text.lines import LineHashes, are_training_lines, make_lines, trim_lines

if TYPE_CHECKING:
    from elman.model.score_lines import BlockScorer
    from elman.text.masks import Masker


MAX_STATES = 1_000_000  # sequences of a state; so many sequences of a small network use a gigabyte


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model, as read from a checkpoint.

    The `state` of a trained model is zero: the state in which training ended would reveal the last characters read.

    Examples
    --------
    >>> import elman
    >>> text = elman.Corpus.from_text("the cat sat on the mat. " * 40)
    >>> model = elman.train(text, preset="reference", hidden_size=16, max_updates=100, engine="numpy").model
    >>> len(model.sample(20, prompt="the ", seed=1)), len(model.samples(3, 20, seed=1))
    (20, 3)
    >>> model.score("the mat").chars
    6
    """

    alphabet: Alphabet
    parameters: Parameters
    state: State
    engine: Engine
    line_hashes: LineHashes | None = None
    """The hashes of the training lines of a model of independent lines, see `in_training_text`."""
    score_quantiles: Array | None = None
    """Quantiles of the scores of held-out lines of such a model, see `elman.model.score_lines`."""
    masker: Masker | None = None
    """The parts of a line that such a model replaces before it reads the line."""

    def __repr__(self) -> str:
        """Return a one-line summary without the weights."""
        network, ngrams = self.parameters.architecture, self.parameters.ngrams
        lines = ", independent lines" if self.is_of_lines else ""
        prior = "" if ngrams is None else f", n-gram prior of order {ngrams.order}: {ngrams.describe()}"
        size = f"{network.layers} x {network.cell} {network.m}, {len(self.alphabet)} characters"
        return f"<Model: {size}, {self.parameters['V'].dtype}, {self.engine.name}{lines}{prior}>"

    def _repr_html_(self) -> str:
        from elman.notebook import render_table

        text = "independent lines" if self.is_of_lines else "continuous"
        return render_table("Model", summarize(self.parameters) | {"text": text, "engine": self.engine.name})

    @property
    def is_of_lines(self) -> bool:
        """Whether the model is one of independent lines (``--lines``), which is reset at every line feed."""
        return self.parameters.architecture.is_of_lines

    @checks_types
    def in_training_text(self, line: str) -> bool:
        """Return whether a model of independent lines was trained on a line; validation lines do not count.

        Raises `ElmanError` for a model of another kind or an imported model.

        Examples
        --------
        >>> import elman
        >>> corpus = elman.Corpus.from_lines(["Ada", "Grace", "Alan"])
        >>> options = {"preset": "reference", "engine": "numpy", "seq_length": 5, "max_updates": 1}
        >>> model = elman.train(corpus, lines=True, **options).model
        >>> model.in_training_text("Grace"), model.in_training_text("Gra")
        (True, False)
        """
        if self.line_hashes is None:
            reason = "it was imported" if self.is_of_lines else f"train with {option.lines:True}"
            raise ElmanError(f"this model does not know the lines of its training text: {reason}")
        return bool(are_training_lines(self.line_hashes, [line])[0])

    @checks_types
    def arrange(self, indices: Indices) -> Indices:
        """Return a text as this model is evaluated on it: unchanged, or as independent lines."""
        return make_lines(indices, self.alphabet).indices if self.is_of_lines else indices

    def encode(self, text: str) -> Indices:
        """Return the indices of a text as this model is evaluated on it; an unknown character has the index K."""
        return self.arrange(with_unknown(self.alphabet).encode(self.normalize(text)))

    @checks_types
    def normalize(self, text: str) -> str:
        """Return a text as this model reads it: lines lose the carriage returns at their ends, and are masked."""
        if self.is_of_lines:
            text = trim_lines(text)
        return text if self.masker is None else self.masker.mask_text(text)

    @document_options(generate.SAMPLING_OPTIONS)
    @checks_types
    def stream(
        self,
        length: int = 1000,
        *,
        prompt: str = "",
        stop: str | Sequence[str] = "",
        seed: int | None = None,
        adapt: Literal["counts"] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Iterator[str]:
        """Generate text, and yield it in chunks as it is sampled.

        Parameters
        ----------
        length : int
            Maximum number of characters to generate.
        prompt : str
            Text to continue; it is not part of the output. Without one the output begins a line, if the alphabet has a
            line feed. A model of independent lines always begins a line, and the prompt is its beginning.
        stop : str or sequence of str
            End before this string, or the first of these, would be generated. An independent line also ends at its end.
        seed : int, optional
            The same seed gives the same text. Without one every call differs.
        adapt : "counts", optional
            The n-gram prior counts the prompt, but not the generated text, for this call only.
        OPTIONS

        Raises
        ------
        ElmanError
            If an option is out of its range, `prompt` or `stop` contains a character that the model does not know, or
            there is no n-gram prior to `adapt`.
        """
        sampling, stops = generate.check_options(length, seed, options), self._stop_sequences(stop)
        session, generators = self.engine.session(self.parameters), [np.random.default_rng(seed)]
        start = generate.prefill(session, self.alphabet, [prompt], self.parameters, self.state, adapt)
        chunks = generate.sample_chunks(session, *start, length, sampling, generators)
        return generate.cut_at_stop(stops, (self.alphabet.decode(characters[:, 0]) for characters in chunks))

    @document_options(generate.GENERATION_OPTIONS)
    @checks_types
    def sample(self, length: int = 1000, **options: Unpack[generate.GenerationOptions]) -> str:
        """Generate text and return it as one string, see `stream`.

        Parameters
        ----------
        length : int
            Maximum number of characters to generate.
        OPTIONS
        """
        return "".join(self.stream(length, **options))

    @document_options((*generate.GENERATION_OPTIONS, *LINE_OPTIONS))
    @checks_types
    def samples(
        self,
        count: int | Sequence[str],
        length: int = 1000,
        *,
        prompt: str = "",
        stop: str | Sequence[str] = "",
        seed: int | None = None,
        adapt: Literal["counts"] | None = None,
        min_length: int = 0,
        max_length: int | None = None,
        unique: bool = False,
        new_only: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> list[str]:
        """Generate several texts as one batch, which takes little longer than one; see `stream`.

        The first is sampled with `seed`, the next with `seed` + 1, and so on: no text depends on how many there are.
        Lines that are drawn again use further seeds.

        Parameters
        ----------
        count : int or sequence of str
            Number of texts, or a prompt for each.
        length : int
            Maximum number of characters of each.
        OPTIONS

        Raises
        ------
        ElmanError
            As in `stream`; also if the texts might not fit in memory, prompts are passed in both ways, or too few lines
            meet the limits.
        """
        prompts: Sequence[str] = ()
        if isinstance(count, Sequence):
            if isinstance(count, str) or prompt:
                kinds = f"an integer or a list of prompts, which excludes {option.prompt}"
                raise ElmanError(f"{option.count} must be {kinds}")
            prompts, count = count, len(count)
        generate.check_batch(count, length)
        prompts, limits = prompts or [prompt] * count, LineLimits(min_length, max_length, unique, new_only).check()
        if wrong := [each for each in prompts if not isinstance(each, str)]:
            raise ElmanError(f"a text must be a string (got {type(wrong[0]).__name__})")
        if limits is not None:
            if len(set(prompts)) > 1:
                raise ElmanError(f"{option.count} must be an integer with {option[limits.names[0]]}")
            shared = {"prompt": prompts[0], "stop": stop, "adapt": adapt, **options}
            return [text for _, text in draw_lines(self, count, length, limits, seed, shared)]
        sampling, stops = generate.check_options(length, seed, options), self._stop_sequences(stop)
        seeds = [None if seed is None else seed + n for n in range(count)]
        if adapt and len(set(prompts)) > 1:  # for each text, the prior counts only its own prompt
            pairs = zip(prompts, seeds, strict=True)
            return [self.sample(length, prompt=each, stop=stop, seed=n, adapt=adapt, **options) for each, n in pairs]
        session, generators = self.engine.session(self.parameters), [np.random.default_rng(each) for each in seeds]
        start = generate.prefill(session, self.alphabet, prompts, self.parameters, self.state, adapt)
        chunks = generate.sample_chunks(session, *start, length, sampling, generators)
        texts = generate.join_chunks(chunks, count, self.parameters.architecture, self.alphabet)
        return [generate.StopSequenceFilter(stops).feed(text, last=True)[0] for text in texts]

    @checks_types
    def beam(
        self,
        width: int,
        length: int = 1000,
        *,
        prompt: str = "",
        stop: str | Sequence[str] = "",
        adapt: Literal["counts"] | None = None,
    ) -> Iterator[str]:
        """Yield the most likely text that a beam search of this width finds, in chunks as soon as they are final.

        The most likely texts of small models repeat themselves; sample prose with `stream`, which describes the
        arguments.
        """
        check_range("beam", width, 1, generate.MAX_BEAM_WIDTH)
        check_range("length", length, 0)
        stops, start = self._stop_sequences(stop), self._steps.prefill(prompt, adapt)
        return generate.cut_at_stop(stops, generate.beam_search(self.step, self.alphabet, *start, length, width))

    def _stop_sequences(self, stop: str | Sequence[str]) -> tuple[str, ...]:
        return generate.list_stop_sequences(stop, self.alphabet, self.is_of_lines)

    @cached_property
    def _steps(self) -> generate.StepSession:
        return generate.StepSession(self.engine.session(self.parameters), self.alphabet, self.parameters, self.state)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # without the sessions, which have locks

    @checks_types
    def start(self, n: int = 1) -> State:
        """Return the zero state of n sequences, for `step`. To begin a line, read a line feed first."""
        check_range("n", n, 1, MAX_STATES)
        return self.state.tile(n)

    def step(self, state: State, characters: str | NDArray[np.integer]) -> tuple[State, Array]:
        """Read one character in each of n sequences; return the new states and the next characters' log-probabilities.

        `state` does not change, so it can be continued in several ways; ``state.select(rows)``, where `rows` is a list,
        picks and repeats rows. A call for a hundred sequences takes only a few times as long as a call for one.

        Parameters
        ----------
        state : State
            The state of n sequences of this model, see `start`.
        characters : str of length n, or ndarray of int, shape (n,)
            The characters, or their indices in ``alphabet.characters``.

        Returns
        -------
        state : State
        log_p : ndarray, shape (n, K)
            The log-probability, in nats, of each of ``alphabet.characters`` as the next character, in the model's
            dtype.

        Examples
        --------
        >>> import elman
        >>> text = elman.Corpus.from_text("tick tock " * 20)
        >>> model = elman.train(text, preset="reference", max_updates=300, engine="numpy", hidden_size=8).model
        >>> state, log_p = model.step(model.start(2), "tt")
        >>> state, log_p = model.step(state.select([0, 1, 1]), "oic")
        >>> log_p.shape
        (3, 6)
        """
        return self._steps.step(state, characters)

    @overload
    def score(self, text: str, *, adapt: str | None = None, window: int | None = None) -> Score: ...
    @overload
    def score(
        self, text: list[str] | tuple[str, ...], *, adapt: str | None = None, window: int | None = None
    ) -> list[Score]: ...
    @checks_types
    def score(
        self, text: str | list[str] | tuple[str, ...], *, adapt: str | None = None, window: int | None = None
    ) -> Score | list[Score]:
        """Return the cross-entropy of a text, read from a zero state.

        Parameters
        ----------
        text : str, or list of str
            `elman.text.unknown` defines the cost of unknown characters. Each text of a list is scored on its own. A
            model of independent lines predicts every line from its first character to its end.
        adapt : str, optional
            What adapts to the text just scored: ``weights`` (dynamic evaluation), ``counts`` of the n-gram prior, or
            ``both``. The model itself does not change. ``mixture`` returns the length of the code of `elman.compress`.
        window : int, optional
            Read windows of this many characters, each from a state of zeros, instead of the complete text.

        Raises
        ------
        ElmanError
            If the text has fewer than two characters, an option is out of its range, there is no n-gram prior to
            adapt, or the network's output is not finite.
        """
        if isinstance(text, Iterable) and not isinstance(text, str | bytes):
            return [self.score(each, adapt=adapt, window=window) for each in list_strings("text", text)]
        if adapt is not None and window is not None:
            both = f"cannot combine {option.window} with {option.adapt}"
            raise ElmanError(f"{both}: every window starts from the same model")
        network = self.engine, self.parameters, self.state
        if adapt is not None:
            from elman.model.adaptation import ADAPTATIONS, check_adapt, score_adapting

            check_adapt(self.parameters, adapt)
            if score_chunks := ADAPTATIONS[adapt].score_chunks:
                return score_chunks(self.alphabet, self.parameters, lambda: [text], lambda fraction: None)
            result = score_adapting(*network, self.encode(text), adapt)
        elif window is not None:
            result = score_windows(self.engine, self.parameters, self.encode(text), window)
        else:
            result = score(*network, self.encode(text))
        check_finite(result.nats)
        return result

    @checks_types
    def score_lines(self, lines: Iterable[str], *, by: str = "worst5+mean") -> Array:
        """Return the scores of lines, such as names or log messages; the higher the score, the less likely the line.

        As in ``elman score``, every line starts from the same state, and its end is scored. Lines of different lengths
        can be compared unless `by` is a sum.

        Parameters
        ----------
        lines : iterable of str
            Without line feeds, except for one at the end of a line.
        by : str
            ``worst5+mean``, the mean of the five highest losses plus the mean of all; ``worst5``, the sum of the five;
            or the ``mean``, ``max`` or ``sum`` of all losses. Losses are in nats.

        Returns
        -------
        ndarray of float64, shape (lines,)
            NaN where there is nothing to predict.

        Examples
        --------
        >>> import elman
        >>> names = elman.Corpus.from_lines(["anna", "hannah", "ann", "hanna"] * 40)
        >>> model = elman.train(names, preset="counts", lines=True, validation=0.0).model
        >>> known, random = model.score_lines(["hanna", "xqzvk"], by="mean")
        >>> bool(known < random)
        True
        """
        from elman.model.score_lines import AGGREGATIONS

        if by not in [*AGGREGATIONS]:
            raise ElmanError(f"{option.by} must be one of {', '.join(AGGREGATIONS)} (got {shorten(by)})")
        scored = self._line_scorer.score_batch(lines)
        return np.array([AGGREGATIONS[by](line) if line.chars else math.nan for line in scored])

    @cached_property
    def _line_scorer(self) -> BlockScorer:
        from elman.model.score_lines import BlockScorer

        return BlockScorer(self, carry_state=False)

    @checks_types
    def next_char(self, prefix: str = "") -> dict[str, float]:
        """Return the probability of every character after a prefix of known characters, the most likely first.

        Examples
        --------
        >>> import elman
        >>> text = elman.Corpus.from_text("tick tock " * 20)
        >>> next(iter(elman.train(text, preset="counts").model.next_char("tick toc")))
        'k'
        """
        p = np.exp(self.step(*self._steps.prefill(prefix))[1][0].astype(np.float64))
        return {self.alphabet.characters[k]: float(p[k]) for k in np.argsort(-p, kind="stable")}

    @checks_types
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that `elman.load` and every command read like a run; an existing file is replaced.

        The suffix is ``.safetensors``; `elman.export` writes the formats of other libraries. The checkpoint of a run is
        never replaced.
        """
        path = Path(path)
        if path.suffix != SUFFIX:
            raise ElmanError(f"the file name of a model must end in {SUFFIX} (got {quote(path.name)})")
        save_network(path, self.snapshot())

    def snapshot(self) -> Snapshot:
        """Return the network with the settings that follow from it, as its file contains them."""
        config = infer_config(self.alphabet, self.parameters, self.masker)
        lines = LineData(self.line_hashes, self.score_quantiles)
        return Snapshot(config, self.alphabet, self.parameters, self.state.recurrent, lines=lines)
