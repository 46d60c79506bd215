"""What people read uses the standard terms: the glossary's, and those of PyTorch, Hugging Face, HTTP and zstd."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from support.state import ROOT

RETIRED = {
    r"(nats|bits|characters|loss|updates) an? (character|window|second|epoch|update|line|step)": "… per …",
    r"kept aside|keeps? aside|left aside": "held out, validation set",
    r"strangers?": "unknown character; untrusted file",
    r"likeliest": "most likely, top-k",
    r"by heart": "overfits, memorizes",
    r"to the bit": "bit for bit, bit-identical",
    r"first weights": "initial weights",
    r"step size": "learning rate",
    r"spoilt": "corrupted",
    r"unasked": "by default",
    r"(go|goes|going|gone|went) on (with|from|to|learning|by)\b": "resume, continue",
    r"and \S+ came\b|what came\b|came instead": "(got X)",
    r"give (another|one|a number in that range)\b": "no remedy where it adds nothing",
    r"crews?": "thread pool",
    r"doors?": "graceful shutdown",
    r"farewell": "end event",
    r"an? person": "user, or no subject",
    r"pull of the weights": "weight decay",
    r"share that": "fraction, decay, probability",
    r"passed over": "skipped",
    r"one upon the other": "stacked",
    r"side by side": "in parallel, in one batch",
    r"knowing nothing|knows nothing": "uniform baseline",
    r"laid over one another": "overlaid, compared",
    r"random states?": "seed",
    r"without loss": "lossless",
    r"handed on|hands on": "output, passed on",
    r"comes? to rest": "plateaus",
    r"update rules?": "optimizer",
    r"other people's": "in other libraries",
    r"--(prime|random-state|rare|averaging|clip|clip-by|final-rate|context|streams|drain)(?![\w-])": "the new option",
}
"""Terms that the texts do not use, and what they use instead."""

IN_PAGES = {
    r"now|formerly|no longer|used to (be|have|take|need)|in earlier versions": "what is, not what was",
    r"(is|are) called after": "is named after",
    r"what \w+( \w+)? brings?": "the gain, the measurement",
    r"mend(s|ed)?": "fixes, prevents",
    r"of yours": "your own",
    r"so many": "the number",
    r"nobody else's": "no reference",
    r"stands? between": "are omitted",
    r"leaves? open": "does not explain",
    r"all the same": "still",
    r"who uses": "if you use",
    r"under such load": "so loaded",
    r"works as with it": "works, but",
    r"the latter|the former": "the noun",
    r"what it is for": "when to use it",
}
"""Phrases that README.md and the pages of docs/ do not have, and what they have instead."""


def _compile(terms: dict[str, str]) -> dict[re.Pattern[str], str]:
    return {re.compile(rf"(?<![\w-])(?:{term})(?![\w])", re.IGNORECASE): use for term, use in terms.items()}


PATTERNS, PAGE_PATTERNS = _compile(RETIRED), _compile(IN_PAGES)


def _pages() -> Iterator[Path]:
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "benchmarks").rglob("*.md"))
    for suffix in ("html", "js", "md"):
        yield from sorted((ROOT / "src" / "elman").rglob(f"*.{suffix}"))


def _strings(source: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string literal of a module: help, errors, docstrings; and of its comments."""
    text = source.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.search(r"(?:^|\s)# (.*)$", line):
            yield number, match[1]


def _findings(
    name: str, passages: Iterable[tuple[int, str]], patterns: dict[re.Pattern[str], str] = PATTERNS
) -> list[str]:
    findings = []
    for first, passage in passages:
        for pattern, use in patterns.items():
            # A term may be broken over two lines.
            for match in pattern.finditer(re.sub(r"\n[ \t]*(?:[#*] )?", "\n", passage).replace("\n", " ")):
                findings.append(f"{name}:{first}: {match[0]!r} (use: {use})")
    return findings


def _without_code(paragraphs: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs that are not in a fenced block."""
    fenced = False
    for line, paragraph in paragraphs:
        parts = re.split(r"^```.*$", paragraph, flags=re.MULTILINE)
        yield line, "\n".join(parts[fenced::2])
        fenced ^= len(parts) % 2 == 0


@pytest.mark.parametrize("page", list(_pages()), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_standard_terms(page: Path) -> None:
    paragraphs, line = [], 1
    for paragraph in page.read_text("utf-8").split("\n\n"):
        paragraphs.append((line, paragraph))
        line += paragraph.count("\n") + 2
    name = str(page.relative_to(ROOT))
    findings = _findings(name, paragraphs)
    if name == "README.md" or name.startswith("docs"):
        findings += _findings(name, _without_code(paragraphs), PAGE_PATTERNS)
    assert not findings, "\n".join(findings)


def test_strings_of_the_package_use_the_standard_terms() -> None:
    sources = sorted((ROOT / "src" / "elman").rglob("*.py"))
    findings = [line for source in sources for line in _findings(str(source.relative_to(ROOT)), _strings(source))]
    assert not findings, "\n".join(findings)


def test_retired_terms_are_found() -> None:
    """The check can fail: each of the two lines has one retired term."""
    passages = [(1, "mean nats a\n    character"), (7, "goes on\nwith its settings"), (9, "nats per character")]
    assert [line.split(":")[1] for line in _findings("x", passages)] == ["1", "7"]


def test_phrases_of_pages_are_found_outside_code() -> None:
    paragraphs = [(1, "```text\nNow is the winter"), (4, "of our discontent\n```\nIt is\nnow fast"), (8, "is fast")]
    found = _findings("x", _without_code(paragraphs), PAGE_PATTERNS)
    assert [line.split(":")[1] for line in found] == ["4"]
