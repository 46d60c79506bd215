"""Telling a language by its lines: one network for each, and the smallest loss decides.

    python examples/languages.py

The texts are those that Python and the packages that Elman needs bring along: Python and the kindred language of its
type stubs, C, and the English of Python's documentation. Programs quote English, and the documentation quotes programs.
A language is learned from one package and its lines are told in another, so that it is the language that is told; only
of the documentation there is but one, and some of its topics are learned from and others told. Every line stands alone.
One that several languages share is left out, and so is one of fewer than 20 characters. Next to the networks, of preset
`quick`, stand character n-grams.
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
from elman.inference.score_lines import scored_lines
from elman.text import Corpus

SEED, TOLD, LEAST = 5, 1_000, 20
"""TOLD is in lines of each language, LEAST in characters of a line."""
LEARNED, FILE = 400_000, 60_000
"""Characters of each language that are learned from, and of one file, or the longest would be all there is."""
TOPICS = 60
"""Of the documentation, as far as they are learned from; the others, about twenty, are told."""
UPDATES = 650
"""What preset quick does in its three seconds: the same on any machine, which seconds are not."""
ORDERS = (3, 5, 7)


def texts() -> dict[str, tuple[list[str], list[str]]]:
    """Return of every language the files to learn from and those whose lines are told."""
    library = Path(sysconfig.get_paths()["stdlib"])
    english = shuffled(
        [*dict.fromkeys(topics[name] for name in sorted(topics))]
    )  # some texts stand under several names
    return {
        "Python": (files(sorted(library.glob("*.py"))), package("matplotlib", "*.py")),
        "stubs": (package("numpy", "*.pyi"), package("matplotlib", "*.pyi")),
        "C": (package("numba", "*.[ch]"), package("numpy", "*.[ch]")),
        "English": (english[:TOPICS], english[TOPICS:]),
    }


def package(name: str, pattern: str) -> list[str]:
    """Return the texts of those files of an installed package."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return files(sorted(Path(spec.origin).parent.rglob(pattern)))


def files(paths: list[Path]) -> list[str]:
    """Return the texts of files, of each no more than its share."""
    return shuffled([path.read_text(encoding="utf-8")[:FILE] for path in paths])


def shuffled(found: list[str]) -> list[str]:
    """Return texts in a random order, always the same."""
    random.Random(SEED).shuffle(found)
    return found


def lines(found: list[str], limit: int | None = None) -> list[str]:
    """Return the lines of texts that are long enough, so many characters of them."""
    chosen: list[str] = []
    size = 0
    for line in chain.from_iterable(map(long_enough, found)):
        if limit is not None and size > limit:
            break
        chosen.append(line)
        size += len(line)
    return chosen


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
    found = texts()
    learned = {language: lines(files, LEARNED) for language, (files, _) in found.items()}
    pairs = drawn({language: lines(files) for language, (_, files) in found.items()}, chain(*learned.values()))
    block = "\n".join(line for _, line in pairs)
    losses: dict[str, list[float]] = {}
    for language in found:
        corpus = Corpus.from_text("\n".join(learned[language]) + "\n")
        model = elman.train(corpus, preset="quick", max_updates=UPDATES).model
        losses[language] = [line.nats for line in chain.from_iterable(scored_lines(model, [block]))]
    print("lines to tell:", dict(Counter(language for language, _ in pairs)), "\n")
    print(f"{'':8} accuracy   {'   '.join(x.center(13) for x in found)}")
    print(f"{'':8} {'':8}   {'   '.join(['precis recall'] * len(found))}")
    show("elman", decide(losses, pairs))
    for order in ORDERS:
        for language in found:
            ngram = NGram(learned[language], order)
            losses[language] = [sum(ngram.losses(line)) for _, line in pairs]
        show(f"{order}-gram", decide(losses, pairs))


if __name__ == "__main__":
    main()
