"""``elman decode``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli import Flag, Integer, Json, Quiet, join_descriptions
from elman.errors import ElmanError, quote, report_system_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from elman.apps.decode.weights import Weights

GROUP = "Use"
NO_MODEL = "none"
SUFFIXES = (".npy", ".npz")


@join_descriptions
def decode(
    run: Path,
    /,
    *logits: Path,
    symbols: Path,
    references: Path | None = None,
    choose_weights: Flag = False,
    alpha: float = 0.5,
    beta: float | None = None,
    width: Integer = 50,
    blank: str | None = None,
    space: str = "|",
    hotword: Annotated[list[str] | None, Parameter(negative="")] = None,
    from_logits: Flag = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Decode the output of a CTC model, such as a text or speech recognizer, with a language model; print a text per line.

    Parameters
    ----------
    run
        Run directory, checkpoint file or hf://OWNER/NAME of the language model, or none.
    logits
        Files .npy and .npz of log-probabilities, or directories of such files. An array has a row per frame and a
        column per symbol; one of three dimensions has several lines.
    symbols
        File of the symbols in the order of the columns, one per line, or .json, a list or a vocabulary. The blank is an
        empty line, or has one of its usual names.
    references
        File of the texts of the lines: the character error rate (CER) is reported.
    choose_weights
        Choose alpha and beta, with the fewest errors, before the lines are decoded.
    alpha
        Weight of the language model.
    beta
        Added to the score for every symbol. By default 1.5 with a language model, and 0 without.
    width
        Number of prefixes that are kept after each frame.
    blank
        Name of the blank.
    space
        Symbol that stands for a space.
    hotword
        Word that is more likely than the language model says; repeatable.
    from_logits
        The arrays are logits: normalize them.
    """
    from elman.apps.decode.ctc import SearchOptions, decode_ctc
    from elman.apps.decode.weights import choose_weights as choose
    from elman.apps.decode.weights import edit_distance
    from elman.model import load

    if not logits:
        raise ElmanError("missing required argument LOGITS (files .npy or .npz, or directories of them)")
    if choose_weights and references is None:
        raise ElmanError("--choose-weights requires --references, the texts of the lines")
    lm, names = None if str(run) == NO_MODEL else load(run), _read_symbols(symbols)
    options: SearchOptions = {"alpha": alpha, "beta": beta, "width": width, "blank": blank, "space": space}
    options |= {"hotwords": hotword or (), "from_logits": from_logits}
    arrays, results, found = _read_arrays(logits), dict[str, Any](), list[dict[str, Any]]()
    if references is not None:
        texts, lines = _read_text(references).splitlines(), [*arrays]
        if len(lines) != len(texts):
            raise ElmanError(f"there are {len(lines)} lines to decode, and {quote(references)} has {len(texts)}")
        if choose_weights:
            show = print_nothing if quiet or as_json else print_weights
            weights = choose([array for _, array in lines], texts, names, lm, on_errors=show, **options)
            options |= {"alpha": weights.alpha, "beta": weights.beta}
            results = {"alpha": weights.alpha, "beta": weights.beta}
        arrays = iter(lines)
    for name, array in arrays:
        hypothesis = decode_ctc(array, names, lm, **options)[0]
        scores = {"score": hypothesis.score, "acoustic": hypothesis.acoustic, "lm": hypothesis.lm}
        found.append({"name": name, "text": hypothesis.text, **scores, "frames": hypothesis.frames})
        if not as_json:
            print(hypothesis.text, flush=True)
    if references is not None:
        errors = sum(edit_distance(text, each["text"]) for text, each in zip(texts, found, strict=True))
        chars = sum(map(len, texts))
        results |= {"errors": errors, "chars": chars, "cer": errors / max(1, chars)}
        if not as_json:
            print(f"{errors:,} errors in {chars:,} characters: CER {results['cer']:.2%}", file=sys.stderr)
    if as_json:
        print(json.dumps({"texts": found, **results}))
    return 0


def print_weights(weights: Weights) -> None:
    """Print weights that were tried."""
    print(f"alpha {weights.alpha:g}, beta {weights.beta:g}: {weights.errors:,} errors", file=sys.stderr)


def print_nothing(weights: Weights) -> None:
    """Print nothing."""


def _read_text(path: Path) -> str:
    with report_system_errors(f"read {quote(path)}", errors=(OSError, UnicodeError)):
        return path.read_text("utf-8")


def _read_symbols(path: Path) -> Sequence[str] | dict[str, int]:
    text = _read_text(path)
    if path.suffix != ".json":
        return text.removesuffix("\n").split("\n")
    try:
        symbols: list[str] | dict[str, int] = json.loads(text)
    except ValueError as error:
        raise ElmanError(f"{quote(path)} is not JSON ({error})") from None
    return symbols


def _read_arrays(paths: Sequence[Path]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and the array of each line."""
    for path in paths:
        files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise ElmanError(f"{quote(path)} contains no file .npy or .npz")
        for file in files:
            yield from _read_file(file)


def _read_file(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    import numpy as np

    with report_system_errors(f"read {quote(path)}", errors=(OSError, ValueError, EOFError)):
        loaded = np.load(path)  # which refuses pickled objects
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {f":{name}": loaded[name] for name in loaded.files}
    for name, array in arrays.items():
        if array.ndim == 3:
            yield from ((f"{path}{name}[{n}]", line) for n, line in enumerate(array))
        else:
            yield f"{path}{name}", array
