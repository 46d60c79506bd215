"""What ``elman sample`` generates and how it is printed: as text while it is sampled, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from elman.cli.display import visible
from elman.cli.prompts import interpret_escapes
from elman.errors import ElmanError

if TYPE_CHECKING:
    from elman.inference import Model
    from elman.network.sampling import SamplingOptions

Report = Callable[[str], None]
"""Reports on standard error how much of a generated text is copied."""


@dataclass(frozen=True)
class NamedModel:
    """A model, and the run that the command line names."""

    name: str
    model: Model
    report: Report


@dataclass(frozen=True)
class Sample:
    """A text that is being generated.

    Parameters
    ----------
    source : NamedModel
    header : str
        What distinguishes it from the other samples of the command; empty if there are none.
    seed : int, optional
    prompt : str
    chunks : iterator of str
        The text, without the prompt.
    """

    source: NamedModel
    header: str
    seed: int | None
    prompt: str
    chunks: Iterator[str]

    def in_training_text(self, text: str) -> bool | None:
        """Return whether a model of independent lines was trained on the last line; None if it is no such model."""
        model = self.source.model
        return None if model.line_hashes is None else model.in_training_text((self.prompt + text).rpartition("\n")[2])


@dataclass(frozen=True)
class Generation:
    """The options of ``elman sample`` for every prompt and every model; see `elman.Model.stream`."""

    models: list[NamedModel]
    length: int
    count: int
    stop: list[str]
    adapt: Literal["counts"] | None
    sampling: SamplingOptions
    beam: int | None

    def begin(self, prompt: str, seed: int | None) -> list[Sample]:
        """Return the samples of a prompt: those of the first model, those of the next.

        Raises
        ------
        ElmanError
            If a model does not know a character of the prompt or of a stop sequence, or an option is out of its range.
        """
        return [sample for each in self.models for sample in self._begin(each, prompt, seed)]

    def _begin(self, source: NamedModel, prompt: str, seed: int | None) -> list[Sample]:
        alphabet, several = source.model.alphabet, len(self.models) > 1
        prompt = interpret_escapes(prompt, alphabet)
        try:
            texts = self._generate(source.model, prompt, seed)
        except ElmanError as error:
            raise ElmanError(f"{source.name}: {error}" if several else str(error)) from None
        return [
            Sample(source, self._header(source, n), None if seed is None else seed + n, prompt, chunks)
            for n, chunks in enumerate(texts)
        ]

    def _header(self, source: NamedModel, n: int) -> str:
        number = f"{n + 1} of {self.count}" if self.count > 1 and not source.model.is_of_lines else ""
        return ", ".join(filter(None, [source.name if len(self.models) > 1 else "", number]))

    def _generate(self, model: Model, prompt: str, seed: int | None) -> list[Iterator[str]]:
        options: dict[str, Any] = {
            "prompt": prompt,
            "stop": [interpret_escapes(stop, model.alphabet) for stop in self.stop],
            "adapt": self.adapt,
        }
        if self.beam is not None:
            return [model.beam(self.beam, self.length, **options)]
        options |= {"seed": seed, **self.sampling}
        if self.count != 1:
            return [iter([text]) for text in model.samples(self.count, self.length, **options)]
        return [model.stream(self.length, **options)]


def print_text(sample: Sample, echo: bool) -> None:
    """Print a sample while it is generated, below its header and after its prompt, unless `echo` is false."""
    show = visible if sys.stdout.isatty() else str  # a terminal might interpret control characters
    if sample.header:
        sys.stdout.write(f"--- {show(sample.header)} ---\n")
    if echo:
        sys.stdout.write(show(sample.prompt))
    chunks = []
    for chunk in sample.chunks:
        sys.stdout.write(show(chunk))
        sys.stdout.flush()
        chunks.append(chunk)
    text = "".join(chunks)
    sys.stdout.write("\tin training text\n" if sample.in_training_text(text) else "\n")
    sample.source.report(text)


def print_json(sample: Sample, length: int) -> None:
    """Print a complete sample as one line of JSON; only a stop sequence, or the end of
    an independent line, makes a text shorter than its length."""
    text = "".join(sample.chunks)
    row = {
        "model": sample.source.name,
        "seed": sample.seed,
        "prompt": sample.prompt,
        "text": text,
        "finish_reason": "stop" if len(text) < length else "length",
    }
    if (known := sample.in_training_text(text)) is not None:
        row["in_training_text"] = known
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    sample.source.report(text)
