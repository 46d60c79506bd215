"""Text generation: sampling of one text or a batch, beam search, and stop sequences.

Beam search keeps only the `width` most likely prefixes, each with its log-probability, the sum over its characters. At
each step every prefix is extended by every character, and the `width` most likely results are kept. A width of 1 is
greedy decoding. Characters on which all kept prefixes agree are final and are yielded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.engine import InferenceSession
from elman.errors import MAX_SEED, ElmanError, check_range, option, quote, shorten
from elman.model.score import check_finite
from elman.network import Architecture, Parameters, SamplingParams
from elman.network.output import log_softmax
from elman.network.parameters import Array
from elman.network.sampling import SamplingOptions, create_sampling_params, list_sampling_options
from elman.network.state import State, stack_states
from elman.options import Option
from elman.text import Alphabet
from elman.text.alphabet import format_character

MAX_SAMPLES, MAX_TOTAL_CHARS = 10_000, 100_000_000
"""Maximum number of samples in a batch, and of their characters: all stay in memory until the last is complete."""
MAX_BEAM_WIDTH = 1_000  # with a large alphabet, the scores of all extensions of this many prefixes use a gigabyte
FIRST_CHUNK, MAX_CHUNK = 64, 1024
"""Characters per call of the engine: few at first, so that output begins at once, then more, to amortize the calls."""


class GenerationOptions(SamplingOptions, total=False):
    """The keyword arguments of `Model.sample`."""

    prompt: str
    stop: str | Sequence[str]
    seed: int | None
    adapt: Literal["counts"] | None


SAMPLING_OPTIONS = tuple(Option(each.name, each.type, each.start, each.help) for each in list_sampling_options())
GENERATION_OPTIONS = (
    Option("prompt", str, "", "Text to continue; it is not part of the output."),
    Option("stop", str, "", "End before this string would be generated."),
    Option("seed", int | None, None, "The same seed gives the same text. Without one every call differs."),
    Option("adapt", str | None, None, 'With "counts" the n-gram prior counts the prompt as well.'),
    *SAMPLING_OPTIONS,
)


def check_options(length: int, seed: int | None, options: Mapping[str, Any]) -> SamplingParams:
    """Return the sampling parameters, after checking the range of every option."""
    check_range("length", length, 0)
    check_range("seed", 0 if seed is None else seed, 0, MAX_SEED)
    return create_sampling_params(options)


def check_batch(count: int, length: int) -> None:
    """Check the number of samples in a batch and their maximum length."""
    check_range("count", count, 1, MAX_SAMPLES)
    check_range("length", length, 0)
    if count * length > MAX_TOTAL_CHARS:
        given = f"(got {count * length:,}); a single sample may have any length"
        raise ElmanError(f"{option.count} times {option.length} must be at most {MAX_TOTAL_CHARS:,} characters {given}")


def sample_chunks(
    session: InferenceSession,
    state: State,
    x: NDArray[np.integer],
    length: int,
    sampling: SamplingParams,
    generators: Sequence[np.random.Generator],
) -> Iterator[NDArray[np.intp]]:
    """Yield chunks of sampled characters (n, B), `length` in total; the first call reads x (B,) from a state.

    A text uses one number of its random generator per character, so it does not depend on the size of the chunks.
    """
    n = FIRST_CHUNK
    while length > 0:
        uniforms = np.stack([generator.random(min(n, length)) for generator in generators], axis=1)
        characters, state = session.generate(state, x, uniforms, [sampling] * len(x))
        yield characters
        x, length, n = characters[-1], length - n, min(2 * n, MAX_CHUNK)


def prefill(
    session: InferenceSession, alphabet: Alphabet, prompts: Sequence[str], parameters: Parameters, start: State,
    adapt: str | None = None,
) -> tuple[State, NDArray[np.intp]]:  # fmt: skip
    """Read prompts except for their last characters; return the states and the last characters (B,).

    A prompt that occurs several times is read once. With ``adapt="counts"`` each state has counts of its own.
    """
    if adapt not in (None, "counts"):
        raise ElmanError(f"{option.adapt} must be counts to generate text (got {shorten(adapt)})")
    if adapt:
        from elman.model.adaptation import check_adapt  # of use only here

        check_adapt(parameters, adapt)
    read = dict[str, tuple[State, int]]()
    for prompt in dict.fromkeys(prompts):
        state, indices = start, alphabet.encode(prompt or alphabet.start_char)
        if adapt:
            state = start.count(parameters.ngrams)
        if len(indices) > 1:
            # The losses are not used; logits would use K times the memory.
            _, after = session.losses(state.reshape(1), indices[:-1, None], indices[1:, None])
            state = after.select(0)
        read[prompt] = state.freeze(), int(indices[-1])
    states, x = zip(*(read[prompt] for prompt in prompts), strict=True)
    return stack_states(states), np.array(x)


def join_chunks(chunks: Iterable[NDArray[np.intp]], B: int, net: Architecture, alphabet: Alphabet) -> Iterator[str]:
    """Yield the texts of a batch of B that is sampled in chunks, until every independent line has ended."""
    sampled, ended = [np.empty((0, B), alphabet.dtype)], np.zeros(B, np.bool_)
    for characters in chunks:
        sampled.append(characters.astype(alphabet.dtype))
        if (resets := net.resets(characters)) is not None:
            ended |= resets.any(axis=0)
        if ended.all():
            break
    yield from map(alphabet.decode, np.concatenate(sampled).T)


class StepSession:
    """A session that reads one character per call; the threads that share a model use it in turn."""

    def __init__(self, session: InferenceSession, alphabet: Alphabet, parameters: Parameters, start: State) -> None:
        self.session, self.alphabet, self.lock = session, alphabet, Lock()
        self.parameters, self.start = parameters, start

    def prefill(self, prompt: str, adapt: str | None = None) -> tuple[State, NDArray[np.intp]]:
        """Read the prompt, see `prefill`."""
        with self.lock:
            return prefill(self.session, self.alphabet, [prompt], self.parameters, self.start, adapt)

    def step(self, state: State, characters: str | NDArray[np.integer]) -> tuple[State, Array]:
        """See `Model.step`."""
        alphabet, one, K = self.alphabet, self.start, len(self.alphabet)
        n = len(state) if isinstance(state, State) else 0
        sizes = (n, *one.recurrent.shape), (n, *one.history.shape)
        if n < 1 or (state.recurrent.shape, state.history.shape) != sizes:
            raise ElmanError("a step needs a state of one or more sequences of this model; see start")
        try:
            x = alphabet.encode(characters) if isinstance(characters, str) else np.asarray(characters)
        except (TypeError, ValueError, RuntimeError):  # what NumPy cannot convert
            x = np.empty(0)
        if x.shape != (n,) or x.dtype.kind not in "iu":
            raise ElmanError(f"a step needs one character for each of {n} states (got {quote(characters)})")
        if x.size and not 0 <= x.min() <= x.max() < K:
            raise ElmanError(f"the index of a character must be from 0 to {K - 1} (got {quote(characters)})")
        with self.lock:
            o, states = self.session.logits(state, x[None])
        check_finite(o)
        return states.select(0), log_softmax(o[0])


def beam_search(
    step: Callable[..., tuple[State, Array]], alphabet: Alphabet, states: State, last: NDArray[np.intp], length: int,
    width: int,
) -> Iterator[str]:  # fmt: skip
    """Yield the most likely text of `length` characters that the search finds, in chunks as soon as they are final.

    `step`, the method of `Model`, first reads `last` (1,) from the state of one sequence.
    """
    prefixes: NDArray[np.intp] = np.empty((1, 0), np.intp)  # without their final part, which was yielded
    total = np.zeros(1)
    for _ in range(length):
        after, log_p = step(states, last)
        scores = total[:, None] + log_p
        best = np.argsort(-scores, axis=None, kind="stable")[:width]
        parent, last = np.divmod(best, len(alphabet))
        states, total = after.select(parent), scores.ravel()[best]
        prefixes = np.column_stack([prefixes[parent], last])
        num_final = np.logical_and.accumulate((prefixes == prefixes[0]).all(axis=0)).sum()
        if num_final:
            yield alphabet.decode(prefixes[0, :num_final])
            prefixes = prefixes[:, num_final:]
    yield alphabet.decode(prefixes[0])


class StopSequenceFilter:
    """Pass text through until a stop sequence is complete, and hold back the possible beginning of one.

    The output does not depend on how the text is divided into chunks.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self.stop = stop
        self.pending = ""

    def feed(self, text: str, last: bool) -> tuple[str, bool]:
        """Add a chunk of text; return the text that is released, and whether a stop sequence ended it.

        With `last`, nothing is held back.
        """
        self.pending += text
        matches = [(start + len(stop), start) for stop in self.stop if (start := self.pending.find(stop)) >= 0]
        if matches:
            return self.pending[: min(matches)[1]], True
        beginnings = () if last else (stop[:n] for stop in self.stop for n in range(1, len(stop)))
        end = len(self.pending) - max((len(each) for each in beginnings if self.pending.endswith(each)), default=0)
        released, self.pending = self.pending[:end], self.pending[end:]
        return released, False


def list_stop_sequences(stop: str | Sequence[str], alphabet: Alphabet, is_of_lines: bool) -> tuple[str, ...]:
    """Return the sequences that end a text: those in `stop`, if any, and the end of an independent line."""
    stops, characters = (stop,) if isinstance(stop, str) else stop, alphabet.characters
    if not (isinstance(stops, Sequence) and all(isinstance(each, str) for each in stops)):
        raise ElmanError(f"{option.stop} must be a string or a sequence of strings (got {quote(stop)})")
    for each in (stops := tuple(filter(None, stops))):
        if unknown := each.translate(dict.fromkeys(map(ord, characters))):
            reason = f"{format_character(unknown[0])} is not among the model's {len(characters)} characters"
            raise ElmanError(f"{option.stop:{quote(each)}} cannot occur: {reason}")
    return (*stops, "\n") if is_of_lines else stops


def cut_at_stop(stops: tuple[str, ...], chunks: Iterator[str]) -> Iterator[str]:
    """Yield text until one of `stops` begins; the stop sequence itself is left out."""
    stop_filter = StopSequenceFilter(stops)
    for chunk in chunks:
        released, stopped = stop_filter.feed(chunk, last=False)
        yield released
        if stopped:
            return
    if stop_filter.pending:
        yield stop_filter.pending
