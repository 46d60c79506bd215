"""Language identification of single lines: one model per language, and the lowest loss decides.

    python examples/languages.py

The texts come with Python, NumPy, Numba and Matplotlib (``pip install 'elman[plot]'``): Python and its dialect of type
stubs, C, and the English of Python's documentation. Programs quote English, and the documentation quotes programs.
Training and test lines of a language are from different packages, so that the language is identified and not the
package; the documentation is divided by topics. Every line is classified by itself. Lines shared by several languages
are left out, and so are lines of fewer than 20 characters. The models, of preset `quick`, are compared with character
n-grams.
"""

from __future__ import annotations

import random
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from pydoc_data.topics import topics

import elman
from elman.model.score_lines import score_lines
from elman.text import Corpus
from ngram import NGram

SEED, TEST_LINES, MIN_LENGTH = 5, 1_000, 20
"""Test lines per language, and minimum length of a line in characters."""
TRAINING_CHARS, MAX_FILE_CHARS = 400_000, 60_000
"""Training characters per language, and maximum per file, so that no long file dominates."""
TOPICS = 60
"""Training topics of the documentation; the others, about twenty, are for testing."""
UPDATES = 650
"""About three seconds of preset quick; a number of updates is reproducible, a time limit is not."""
ORDERS = (3, 5, 7)


def load_texts() -> dict[str, tuple[list[str], list[str]]]:
    """Return the training and the test files of every language."""
    library = Path(sysconfig.get_paths()["stdlib"])
    english = shuffle([*dict.fromkeys(topics[name] for name in sorted(topics))])  # some texts have several names
    return {
        "Python": (read_files(sorted(library.glob("*.py"))), read_package("matplotlib", "*.py")),
        "stubs": (read_package("numpy", "*.pyi"), read_package("matplotlib", "*.pyi")),
        "C": (read_package("numba", "*.[ch]"), read_package("numpy", "*.[ch]")),
        "English": (english[:TOPICS], english[TOPICS:]),
    }


def read_package(name: str, pattern: str) -> list[str]:
    """Return the texts of the files of an installed package that match a pattern."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return read_files(sorted(Path(spec.origin).parent.rglob(pattern)))


def read_files(paths: list[Path]) -> list[str]:
    """Return the texts of files, each cut to `MAX_FILE_CHARS` characters."""
    return shuffle([path.read_text(encoding="utf-8")[:MAX_FILE_CHARS] for path in paths])


def shuffle(texts: list[str]) -> list[str]:
    """Return texts in a fixed random order."""
    random.Random(SEED).shuffle(texts)
    return texts


def extract_lines(texts: list[str], limit: int | None = None) -> list[str]:
    """Return the lines of texts that are long enough, up to a number of characters."""
    selected: list[str] = []
    size = 0
    for line in chain.from_iterable(map(_long_lines, texts)):
        if limit is not None and size > limit:
            break
        selected.append(line)
        size += len(line)
    return selected


def _long_lines(text: str) -> Iterator[str]:
    """Yield the lines of a text that are long enough, without trailing spaces."""
    return (line for line in map(str.rstrip, text.split("\n")) if len(line.strip()) >= MIN_LENGTH)


def sample_lines(candidates: dict[str, list[str]], seen: Iterable[str]) -> list[tuple[str, str]]:
    """Return as many pairs of language and line for each language; no line twice or in two languages."""
    languages = Counter(chain.from_iterable(map(set, candidates.values())))
    languages.update(set(seen))
    pairs = []
    for language, lines in candidates.items():
        unique = sorted({line for line in lines if languages[line] == 1})
        pairs += [(language, line) for line in random.Random(SEED).sample(unique, min(TEST_LINES, len(unique)))]
    return pairs


def show(name: str, answers: list[tuple[str, str]]) -> None:
    """Print the accuracy, and precision and recall of every language."""
    correct = Counter(language for language, answer in answers if language == answer)
    actual = Counter(language for language, _ in answers)
    predicted = Counter(answer for _, answer in answers)
    columns = (f"{correct[x] / max(1, predicted[x]):6.3f} {correct[x] / actual[x]:6.3f}" for x in actual)
    print(f"{name:8} {sum(correct.values()) / len(answers):8.3f}   {'   '.join(columns)}")


def classify(losses: dict[str, list[float]], pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each line's language and the one with the lowest loss."""
    return [(pair[0], min(losses, key=lambda x: losses[x][n])) for n, pair in enumerate(pairs)]


def main() -> None:
    """Train a model of every language, classify the lines, print."""
    languages = load_texts()
    training = {language: extract_lines(files, TRAINING_CHARS) for language, (files, _) in languages.items()}
    pairs = sample_lines(
        {language: extract_lines(files) for language, (_, files) in languages.items()}, chain(*training.values())
    )
    block = "\n".join(line for _, line in pairs)
    losses: dict[str, list[float]] = {}
    for language in languages:
        corpus = Corpus.from_text("\n".join(training[language]) + "\n")
        model = elman.train(corpus, preset="quick", max_updates=UPDATES).model
        losses[language] = [line.nats for line in chain.from_iterable(score_lines(model, [block]))]
    print("test lines:", dict(Counter(language for language, _ in pairs)), "\n")
    print(f"{'':8} accuracy   {'   '.join(x.center(13) for x in languages)}")
    print(f"{'':8} {'':8}   {'   '.join(['precis recall'] * len(languages))}")
    show("elman", classify(losses, pairs))
    for order in ORDERS:
        for language in languages:
            ngram = NGram(training[language], order)
            losses[language] = [sum(ngram.losses(line)) for _, line in pairs]
        show(f"{order}-gram", classify(losses, pairs))


if __name__ == "__main__":
    main()
