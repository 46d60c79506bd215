"""Telling a language by its lines: one network for each, and the smallest loss decides.

    python examples/languages.py

The texts are those that Python, NumPy and Numba bring along: Python and the kindred language of its type stubs, C, and
the English of Python's documentation. Programs quote English and the documentation quotes programs. Of every language
some files are learned from and others are told, line by line, each with nothing but the line to go by. A line that
several languages share is left out, and so is one of fewer than 20 characters. Next to the networks, of preset `quick`,
stand character n-grams.
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

from ngram import NGram

import elman
from elman.text import Corpus
from elman.use.lines import scored_lines

SEED, TOLD, LEAST = 5, 1_000, 20
"""TOLD is in lines of each language, LEAST in characters of a line."""
LEARNED, FILE = 300_000, 40_000
"""Characters of each language that are learned from, and of one file, or the longest would be all there is."""
UPDATES = 650
"""What preset quick does in its three seconds: the same on any machine, which seconds are not."""
ORDERS = (3, 5, 7)


def package(name: str, *patterns: str) -> list[str]:
    """Return the texts of an installed package's files, those of one pattern after those of another."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return files(Path(spec.origin).parent, *patterns)


def files(folder: Path, *patterns: str) -> list[str]:
    """Return the texts of all files that fit, in the order of their names."""
    paths = chain.from_iterable(sorted(folder.rglob(pattern)) for pattern in patterns)
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def texts() -> dict[str, list[str]]:
    """Return the files of every language."""
    library = Path(sysconfig.get_paths()["stdlib"])
    return {
        "Python": [path.read_text(encoding="utf-8") for path in sorted(library.glob("*.py"))],
        "stubs": package("numpy", "*.pyi"),
        "C": package("numba", "*.c", "*.h") + package("numpy", "*.h", "*.c"),
        "English": [topics[name] for name in sorted(topics)],
    }


def split(found: list[str]) -> tuple[list[str], list[str]]:
    """Return the lines of the files to learn from and of those to be told, drawn at random."""
    random.Random(SEED).shuffle(found)
    learned: list[str] = []
    size = 0
    while size < LEARNED and len(found) > 1:
        lines = list(long_enough(found.pop()[:FILE]))
        learned += lines
        size += sum(map(len, lines))
    return learned, list(chain.from_iterable(long_enough(text[:FILE]) for text in found))


def long_enough(text: str) -> Iterator[str]:
    """Yield the lines of a text that are long enough, without spaces behind them."""
    return (line for line in map(str.rstrip, text.split("\n")) if len(line.strip()) >= LEAST)


def drawn(told: dict[str, list[str]], seen: Iterable[str]) -> list[tuple[str, str]]:
    """Return languages and lines, as many of each; none that another language has as well, none twice."""
    languages = Counter(chain.from_iterable(map(set, told.values())))
    languages.update(set(seen))
    pairs = []
    for language, lines in told.items():
        own = sorted({line for line in lines if languages[line] == 1})
        pairs += [(language, line) for line in random.Random(SEED).sample(own, min(TOLD, len(own)))]
    return pairs


def show(name: str, answers: list[tuple[str, str]]) -> None:
    """Print how often the answer is the language, and precision and recall of every language."""
    right = Counter(language for language, answer in answers if language == answer)
    there = Counter(language for language, _ in answers)
    said = Counter(answer for _, answer in answers)
    figures = (f"{right[x] / max(1, said[x]):6.3f} {right[x] / there[x]:6.3f}" for x in there)
    print(f"{name:8} {sum(right.values()) / len(answers):8.3f}   {'   '.join(figures)}")


def decide(losses: dict[str, list[float]], pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each line's language and the one that gives it the smallest loss."""
    return [(pair[0], min(losses, key=lambda x: losses[x][n])) for n, pair in enumerate(pairs)]


def main() -> None:
    """Learn every language, tell the lines, print."""
    parts = {language: split(found) for language, found in texts().items()}
    pairs = drawn({x: told for x, (_, told) in parts.items()}, chain.from_iterable(part[0] for part in parts.values()))
    block = "\n".join(line for _, line in pairs)
    losses: dict[str, list[float]] = {}
    for language, (learned, _) in parts.items():
        corpus = Corpus.from_text("\n".join(learned) + "\n")
        model = elman.train(corpus, preset="quick", max_updates=UPDATES).model
        losses[language] = [line.nats for line in chain.from_iterable(scored_lines(model, [block]))]
    print("lines to tell:", dict(Counter(language for language, _ in pairs)), "\n")
    print(f"{'':8} accuracy   {'   '.join(x.center(13) for x in parts)}")
    print(f"{'':8} {'':8}   {'   '.join(['precis recall'] * len(parts))}")
    show("elman", decide(losses, pairs))
    for order in ORDERS:
        for language, (learned, _) in parts.items():
            ngram = NGram(learned, order)
            losses[language] = [sum(ngram.losses(line)) for _, line in pairs]
        show(f"{order}-gram", decide(losses, pairs))


if __name__ == "__main__":
    main()
