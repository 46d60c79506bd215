"""``elman decode``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from elman.cli import Flag, Integer, Json, OptionalNumber, join_descriptions
from elman.errors import ElmanError, quote, report_system_errors
from elman.storage import is_directory, require_regular_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP = "Use"
NO_MODEL = "none"
MAX_TEXT = 100_000_000  # characters of a list of symbols or of references
MAX_ARRAYS = 4 << 30  # bytes of the arrays in a file .npz, which is compressed and may be a thousandth as large
LINES_PER_CALL = 64
"""Lines that are decoded before their texts are printed."""


@join_descriptions
def decode(
    run: Path,
    /,
    *logits: Path,
    symbols: Path,
    references: Path | None = None,
    choose_weights: Flag = False,
    alpha: float = 0.5,
    beta: OptionalNumber = None,
    width: Integer = 50,
    hotword: Annotated[list[str] | None, Parameter(negative="")] = None,
    from_logits: Flag = False,
    as_json: Json = False,
) -> int:
    """Decode the output of a CTC model, such as a text or speech recognizer, and print the text of each line.

    Parameters
    ----------
    run
        Run directory, checkpoint file or hf://OWNER/NAME of the language model, or none.
    logits
        Files .npy and .npz of log-probabilities, or directories of such files. An array has a row per frame and a
        column per symbol; one of three dimensions has several lines.
    symbols
        File of the symbols, one per line in the order of the columns, or .json, a list or a vocabulary. The blank is an
        empty line, or has one of its usual names.
    references
        File of the texts of the lines: the character error rate (CER) is reported.
    choose_weights
        Choose the alpha and beta with the fewest errors before the lines are decoded.
    alpha
        Weight of the language model.
    beta
        Added to the score for every symbol. By default 1.5 with a language model, and 0 without.
    width
        Number of prefixes kept after each frame.
    hotword
        Word that is more likely than the language model says; repeatable.
    from_logits
        The arrays are logits: normalize them.
    """
    from elman.apps.decode.ctc import SearchOptions, decode_batch
    from elman.apps.decode.weights import Weights, check_references, edit_distance
    from elman.apps.decode.weights import choose_weights as choose
    from elman.model import load

    def show(weights: Weights) -> None:
        print(f"alpha {weights.alpha:g}, beta {weights.beta:g}: {weights.errors:,} errors", file=sys.stderr)

    lines, results, found = [*_read_lines(logits)], dict[str, Any](), list[dict[str, Any]]()
    if not lines:
        raise ElmanError("there is nothing to decode: pass LOGITS, files .npy or .npz, or directories of them")
    if choose_weights and references is None:
        raise ElmanError("--choose-weights requires --references, the texts of the lines")
    texts = [] if references is None else _read_rows(references)
    lm, names = None if str(run) == NO_MODEL else load(run), _read_symbols(symbols)
    options: SearchOptions = {"alpha": alpha, "beta": beta, "width": width, "hotwords": hotword or ()}
    options["from_logits"] = from_logits
    if references is not None:
        check_references(lines, texts)
    if choose_weights:
        chosen = choose([array for _, array in lines], texts, names, lm, on_errors=show, **options)
        options["alpha"] = results["alpha"] = chosen.alpha
        options["beta"] = results["beta"] = chosen.beta
    for first in range(0, len(lines), LINES_PER_CALL):
        part = lines[first : first + LINES_PER_CALL]
        decoded = _decode_part(part, partial(decode_batch, symbols=names, lm=lm, **options))
        for (name, _), (best, *_) in zip(part, decoded, strict=True):
            scores = {"score": best.score, "acoustic": best.acoustic, "lm": best.lm}
            found.append({"name": name, "text": best.text, **scores, "frames": best.frames})
            if not as_json:
                print(best.text, flush=True)
    if references is not None:
        pairs = zip(texts, found, strict=True)
        total = Weights(0, 0, sum(edit_distance(text, each["text"]) for text, each in pairs), sum(map(len, texts)))
        results |= {"errors": total.errors, "chars": total.chars, "cer": total.cer}
        print(f"{total.errors:,} errors in {total.chars:,} characters: CER {total.cer:.2%}", file=sys.stderr)
    if as_json:
        print(json.dumps({"texts": found, **results}))
    return 0


def _decode_part(part: Sequence[tuple[str, NDArray[Any]]], decode_batch: Any) -> Any:
    """Decode several lines; the error of a line names it."""
    try:
        return decode_batch([array for _, array in part])
    except ElmanError as error:
        for name, array in part if str(error).startswith("log_probs") else ():
            try:
                decode_batch([array])
            except ElmanError as own:
                raise ElmanError(f"{quote(name)}: {own}") from None
        raise


def _read_text(path: Path) -> str:
    with (
        report_system_errors(f"read {quote(path)}", errors=(OSError, UnicodeError)),
        path.open(encoding="utf-8-sig") as file,
    ):
        text = file.read(MAX_TEXT + 1)
    if len(text) > MAX_TEXT:  # such as a device
        raise ElmanError(f"{quote(path)} has more than {MAX_TEXT:,} characters: split it")
    return text


def _read_rows(path: Path) -> list[str]:
    return _read_text(path).removesuffix("\n").split("\n")


def _read_symbols(path: Path) -> Sequence[str] | dict[str, int]:
    if path.suffix != ".json":
        return _read_rows(path)
    text = _read_text(path)
    with report_system_errors(f"read {quote(path)}", errors=(ValueError, RecursionError)):
        symbols: list[str] | dict[str, int] = json.loads(text)
    return symbols


def _read_lines(paths: Sequence[Path]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and the array of each line."""
    import numpy as np

    folders = (sorted(path.glob("*.np[yz]"), key=_split_digits) if is_directory(path) else [path] for path in paths)
    files = chain.from_iterable(folders)
    for file in files:
        with report_system_errors(f"read {quote(file)}"):
            require_regular_file(file)
            try:  # It refuses pickled objects, and a header that declares more than the file contains.
                loaded = np.load(file, mmap_mode="r")
                if not isinstance(loaded, np.ndarray):
                    _check_size(file, sum(entry.file_size for entry in loaded.zip.infolist()))
                arrays = (
                    {"": loaded} if isinstance(loaded, np.ndarray) else {f":{name}": loaded[name] for name in loaded}
                )
                batches = {name: _split_batch(array) for name, array in arrays.items()}
            except (OSError, ElmanError):
                raise
            except Exception:  # NumPy and zipfile raise exceptions of a dozen types
                raise ElmanError(f"{quote(file)} is not an array of NumPy: pass a file .npy or .npz") from None
        for name, batch in batches.items():
            yield from ((f"{file}{name}{n}", line) for n, line in batch.items())


def _split_digits(path: Path) -> list[str | int]:
    """Return the parts of a name by which it is ordered: ``2.npy`` is before ``10.npy``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", path.name)]


def _check_size(file: Path, size: int) -> None:
    if size > MAX_ARRAYS:
        raise ElmanError(f"the arrays in {quote(file)} have more than {MAX_ARRAYS:,} bytes (got {size:,}): split it")


def _split_batch(array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the lines of an array by the ends of their names."""
    return {f"[{n}]": line for n, line in enumerate(array)} if array.ndim == 3 else {"": array}
