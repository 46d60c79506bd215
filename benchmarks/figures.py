"""Compare the figures in the prose of README.md and docs/ with benchmarks/results.

A page has a function that yields what it must say, computed from the stored results. A number with a unit that is in
none of these sentences is a fault, unless ``GIVEN`` lists it: a setting, a figure of another author, or one that a test
reproduces.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from tables import ROOT, load

FIGURE = re.compile(
    r"(?<![\w.\-])\d[\d,.]*(?:(?:\s|-)?%|(?:\s|-)(?:nats|bits|s|ms|µs|min|seconds?|minutes?|hours?|times|MB|GB|kB|characters\sper)\b)"
    r"|(?<![\w.\-])\d+\.\d{2,}(?![\w.])"
)
"""A number with a unit, or one with two decimal places or more."""
NOT_PROSE = re.compile(
    r"^```.*?^```|<!-- (?:table|generated): .*?<!-- end -->|\]\([^)]*\)|`[^`]*`", re.DOTALL | re.MULTILINE
)
"""Blocks of code, places that are generated, links, and names in code."""

Claims = Callable[[], Iterator[str]]
PAGES: dict[str, Claims] = {}
GIVEN: dict[str, list[str]] = {}
"""Numbers with units that were not measured here, with words around them, by page."""


def page(name: str, given: list[str] | None = None) -> Callable[[Claims], Claims]:
    """Register what a page must say, and the numbers in it that were not measured."""

    def register(claims: Claims) -> Claims:
        PAGES[name], GIVEN[name] = claims, given or []
        return claims

    return register


def peer(name: str, budget: int) -> dict[str, float]:
    """One point of `peers.py`: a program after some seconds."""
    (found,) = (one for one in load("peers")["results"] if (one["name"], one["budget"]) == (name, budget))
    return dict(found)


@page("README.md", given=["nanoGPT reports 1.470 after three minutes on an A100"])
def readme() -> Iterator[str]:
    """What the front page says."""
    yield f"After 5 seconds on two CPU cores, Elman's loss is {peer('Elman', 5)['window_loss']:.3f} nats per character"


def decoders(name: str) -> list[dict[str, Any]]:
    """What `decoding.py` or `ocr.py` found for each program on the messages: those in Elman with n-grams, networks."""
    systems = next(one for one in load(name).values() if "systems" in one)["systems"]
    return [systems[key] for key in ("KenLM, order 12, imported", "counts", "network, minute, seeds 1 to 3")]


def from_to(values: list[float], form: str = "{:g}") -> str:
    """The smallest and the largest of some values, or the only one."""
    return " to ".join(dict.fromkeys(form.format(value) for value in (min(values), max(values))))


@page(
    "docs/how_to/decode.md",
    given=[
        # benchmarks/decoding.py, make_frames and QUANTILES
        "wrong for 25 % of the characters; it drops 4 %, and inserts 4 %",
        "95 % bootstrap intervals",
        # tests/formats/test_arpa_text.py, TOLERANCE
        "equal Elman's to within 0.00001",
        # src/elman/formats/arpa_text.py, _MAX_DEFECT
        "differs from 1 by more than 0.01",
        "(default 10 nats)",
    ],
)
def decode() -> Iterator[str]:
    """What the network costs, and which weights were chosen."""
    simulated, ocr = decoders("decoding"), decoders("ocr")
    *ngrams, networks = (
        [one["milliseconds"], other["milliseconds"]] for one, other in zip(simulated, ocr, strict=True)
    )
    both = from_to([*chain.from_iterable(ngrams)], "{:.0f}")
    yield f"It needs {from_to(networks, '{:.0f}')} ms per line, n-grams in Elman {both} ms"
    weights = [
        " and ".join(from_to([*chain.from_iterable(one[key] for one in found)]) for key in ("alpha", "beta"))
        for found in (simulated, ocr)
    ]
    yield f"are {weights[0]} on simulated output, {weights[1]} on OCR output"


@page("docs/how_to/compress_files.md")
def compress_files() -> Iterator[str]:
    """How fast both modes are."""
    modes = next(run["modes"] for run in load("compression")["runs"] if run["name"] == "quick")
    for mode, unit in (("mixture", " characters per second"), ("static", "")):
        yield f"| {round(modes[mode]['compress_per_second'], -3):,}{unit} |"


@page(
    "docs/how_to/install.md",
    given=["Elman requires Python 3.11 to 3.14", "on Python 3.13 and older"],  # pyproject.toml
)
def install() -> Iterator[str]:
    """How long kernels are compiled."""
    figures = load("startup")["figures"]
    seconds = figures["train_one_update_compiling"] - figures["train_one_update_compiled"]
    yield f"takes longer (with preset `reference`, {seconds:.0f} s)"


@page("docs/how_to/playground.md", given=["by at most 0.002 nats per character"])  # MAX_INCREASE of formats/page
def playground() -> Iterator[str]:
    """How large a page is, and how fast."""
    quick, minute = (one for one in load("page")["results"] if one["run"] in ("quick", "minute"))
    sizes = [one["types"][one["weights"]]["megabytes"] for one in (quick, minute)]
    yield f"the page has {sizes[0]:.1f} MB with preset `quick` and {sizes[1]:.1f} MB with `minute`"
    speeds = [round(one["chars_per_second"], -3) for one in (quick, minute)]
    yield f"generates {speeds[0]:,} and {speeds[1]:,} characters per second"


@page(
    "docs/how_to/serve.md",
    given=["after 30 seconds it counts as disconnected"],  # tests/apps/serve/test_docs.py
)
def serve() -> Iterator[str]:
    """How fast the server is."""
    steady = load("serving")["steady"]
    speed = f"{round(steady['chars_per_second'], -3):,} characters per second"
    yield f"generates {speed} for {steady['clients']} clients"


def nothing() -> Iterator[str]:
    """A page without a measurement."""
    yield from ()


SETTINGS = {
    "docs/index.md": ["Python 3.11 to 3.14"],  # pyproject.toml
    "docs/how_to/busy_machines.md": ["less than 70 % of the time"],  # BUSY of elman.training.limits
    "docs/how_to/evaluate_and_score.md": [
        "higher than 99 % of the held-out lines",  # the option before it
        "each costs about 25 nats",  # elman.text.unknown; tests/project/test_pages.py, test_the_guide_finds_the_anomaly
    ],
    "docs/how_to/export_and_import.md": ["Python 3.8 and NumPy 1.20 or newer"],  # elman.formats.python
    "docs/how_to/find_anomalies.md": ["higher than 99 % of the lines"],  # the option before it
    "docs/how_to/random_strings.md": ["than 99 % of the held-out strings"],  # the option before it
    "docs/how_to/reproduce_a_result.md": ["from 10 s on"],  # elman.recipe
    "docs/how_to/stop_and_resume.md": ["the last 10 % of the text"],  # the option before it
    "docs/how_to/texts.md": [
        "time stamps in 70 % of lines",  # STAMPED of elman.text.kinds
        "keeps 99 % of the text",  # KEPT there
        "needs Python 3.14",
        "delivers nothing within 5 s",  # PIPE_SECONDS of elman.text.sources
        "750,000 characters per second of the limit",  # MAX_CHARS_PER_SECOND of elman.recipe
    ],
    "docs/reference/compressed_format.md": ["max(1, min(32, floor(N / 4096)))"],
    "docs/reference/glossary.md": ["1 nat is 1.44 bits"],  # 1 / log 2
    "docs/reference/http_api.md": ["must arrive within 30 s"],  # Settings of elman.apps.serve
}
"""Settings and limits of the code with units, in pages without measurements."""
for _name, _given in SETTINGS.items():
    page(_name, _given)(nothing)


def check(text: str, claims: list[str], given: list[str]) -> list[str]:
    """Return the sentences that a page lacks, and its figures that stand in none of them."""
    faults = []
    for claim in (*claims, *given):
        text, count = re.subn(r"\s+".join(map(re.escape, claim.split())), " ", text)
        faults += [f"does not say: {claim}"] * (not count)
    prose = " ".join(NOT_PROSE.sub("`", text).split())
    for match in FIGURE.finditer(prose):
        around = prose[max(0, match.start() - 40) : match.end() + 20]
        faults.append(f"{match[0]} has no stored result: … {around} …")
    return faults


def main() -> None:
    """Print the faults of all pages."""
    names = [path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
    faults = [f"{name}: no such page" for name in PAGES if name not in names]
    for name in names:
        claims = list(PAGES[name]()) if name in PAGES else []
        found = check((ROOT / name).read_text(encoding="utf-8"), claims, GIVEN.get(name, []))
        faults += [f"{name}: {fault}" for fault in found]
    print(*faults, sep="\n", end="\n" * bool(faults))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
