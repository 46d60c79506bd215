"""The Markdown and the page: what they say of the results, and that no text leaves its place."""

import re
from dataclasses import asdict
from typing import Any

import pytest

from elman.apps.report.lexicon import build_lexicon
from elman.apps.report.render import (
    cell,
    code,
    duration,
    fenced,
    percent,
    raise_exponents,
    render_html,
    render_markdown,
    scientific,
)
from elman.apps.report.results import collect_results, describe_phase, start_progress
from elman.config import Config
from elman.formats.web import pluralize
from elman.text import Corpus
from elman.text.alphabet import visible
from support.html_page import Page
from support.training import train

TEXT = "so Anna saw the night and Anna slept and Anna woke\n" * 3
NASTY = "\n<script>alert('1')</script> & ```` Anna </pre> \x00\x1b[31m {{ 7 * 7 }} | \u202e\ud800"
ERRORS = dict.fromkeys(("V", "U", "W", "b", "c", "h0"), 1e-9)


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """The results of a run of one epoch, whose samples try to break out."""
    run = train(Corpus.from_text(TEXT, "a|`<b>\n"), epochs=1, hidden_size=4, seq_length=5, metrics_every=5)
    progress = start_progress() | {"short": describe_phase(run, 1)}
    experiment = {"points": 5, "hidden_size": 5, "seq_length": 5, "relative_error": ERRORS}
    progress["gradient_check"] |= {"experiments": [experiment], "zero_state": [experiment]}
    progress["best"] = {"update": 30, "smooth_loss": 9.0, "text": "the night"}
    submission = {"name": "my_rnn.py", "backward": "forward: not written yet", "train": [9.0, 8.0]}
    collected = collect_results(run, [], build_lexicon([TEXT]), progress, None, "so Anna", "`", submission)
    samples = [{"update": 0, "smooth_loss": None, "text": NASTY}]
    nasty = {name: collected[name] | {"text": NASTY} for name in ("final", "best")}
    return collected | {"samples": samples, **nasty}


def test_a_sample_stays_in_its_place_in_the_page(results: dict[str, Any]) -> None:
    html = render_html(render_markdown(results), build_lexicon([TEXT]), ["<svg></svg>"])
    page = Page(html)
    assert (page.open, "script" in page.tags, page.tags.count("svg")) == ([], False, 1)
    samples = [text.removeprefix("\n") for text in page.pres if "Anna" in text]  # a browser drops the line feed
    assert samples == [visible(NASTY)] * 3
    assert page.tags.count("details") == 1
    assert '<span class="name">Anna</span>' in html
    assert "{{ 7 * 7 }}" in html
    html.encode()


def test_a_sample_stays_in_its_place_in_the_markdown(results: dict[str, Any]) -> None:
    text = render_markdown(results)
    assert text.count(f"\n`````text\n{visible(NASTY)}\n`````\n") == 3
    outside = re.sub(r"`````text\n.*?\n`````\n", "sample\n", text, flags=re.DOTALL)
    assert "script" not in outside
    assert "\n\n\n" not in outside
    assert outside.startswith("# Character-level RNN trained on ``a|`<b>``\n")
    text.encode()
    tables = re.findall(r"(?:^\|.*\n)+", outside, re.M)
    assert len(tables) == 10  # without names
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def changed(results: dict[str, Any], **parts: Any) -> str:
    """Return the Markdown of results with other parts, or other entries of parts, with common spaces."""
    for name, part in parts.items():
        results = results | {name: results[name] | part if isinstance(part, dict) and results[name] else part}
    return render_markdown(results).replace("\u00a0", " ")


def test_the_results_are_stated(results: dict[str, Any]) -> None:
    lower = {"lower": 30, "compared": 40}
    text = changed(
        results,
        short={"epochs": 10, "updates": 300, "requested_epochs": 10, "minimum_smooth_loss": 40.0},
        statistics={"start": 104.5, "end": 41.0, "first_tenth": 0.93, "half_at": 7, "soon": 103.0} | lower,
    )
    assert "All relative errors are at most 10⁻⁷" in text
    assert "| 5 characters, m = 5, T = 5 | 1.00×10⁻⁹ |" in text
    assert "| this run | 10 | 300 | 40.00 |" in text
    assert "| `my_rnn.py` | 0.07 | 2 | 9.00 | 2 | – | 9.00 | 1.800 |" in text
    assert "\n- `my_rnn.py`: `forward: not written yet`\n" in text
    assert "after 30 updates, whose smooth loss is the lowest of those recorded every 5 updates" in text
    assert "from h₀ = 0 and the character `` ` ``." in text
    assert "| this run, minimum over all updates | 10 | 40.00 |" in text
    assert "| course report, minimum of every 10,000th update | 10 | 38.87 |" in text
    assert "gives the text of update 931,000 as an example" in text
    assert "course report" not in text[: text.index("## 2 Gradient check")]
    falls = "falls from 104.50 to 41.00 in 300 updates. Half of this decrease is reached after 7 updates. 93 % of"
    assert falls in text
    assert "S is 103.00 after 20 updates, 104.50 at first: half of the decrease takes 7 updates, not 20" in text
    assert "Jumps" not in text
    assert "at 30 of 40 points it is lower than one epoch earlier" in text
    assert "### Names" not in text
    assert "A limit ended" not in text
    assert "Training on to" not in text


def test_results_that_differ_from_the_course_report(results: dict[str, Any]) -> None:
    name = {"name": "Anna", "count": 9, "first_update": 0, "context": "so Anna slept"}
    long = results["short"] | {"epochs": 100, "updates": 12_345, "minimum_smooth_loss": 3.0}
    parts: list[tuple[dict[str, Any], str]] = [
        ({"gradient_check": {"passed": False}}, "**The check has failed**: a relative error is above 10⁻⁷"),
        ({"statistics": {"start": 104.5, "end": 110.0}}, "The smooth loss does not fall."),
        ({"short": {"updates": 7, "requested_epochs": 9}}, "A limit ended the run at update 7 of 270."),
        ({"names": [name, name | {"first_update": None}]}, "of the text, 1 of 2 occur in the 3 samples"),
        ({"long": long}, "| this run, continued | 100 | 12,345 | 3.00 |"),
        ({"long": long, "short": {"minimum_smooth_loss": 4.0}}, "Training on to update 12,345 changes its minimum"),
    ]
    jump = {"epoch": 5, "from": 40.0, "to": 52.0, "at": 178_086, "rise": 12.0}
    jumps, novel = {"jumps": [jump, jump], "typical": 1.0}, {"chars": 1_107_542, "alphabet_size": 80}
    changes = {"long": long, "statistics": jumps}
    parts += [
        (changes, "At the start of epoch 5, S rises from 40.00 to 52.00 (update 178,086), by 12.00."),
        (changes, "2 of 99 epochs begin with a rise that is more than 2 nats above this median."),
        ({"config": {"optimizer": "adam", "mixed_precision": True}}, "differs from it in `hidden_size` (4, there 100)"),
        ({"config": {"mixed_precision": True}}, "`mixed_precision` (yes, there no)"),
        ({"corpus": novel}, "so the difference is due to the experiment, the seed and rounding."),
        ({"corpus": novel, "config": asdict(Config()), "short": {"epochs": 10}}, "so the figures can be compared."),
        ({"seeds": [results["seeds"][0], results["seeds"][0] | {"minimum_smooth_loss": 1.0}]}, "is from 1.00 to "),
    ]
    for changes, expected in parts:
        assert expected in changed(results, **changes)


def test_the_code_of_the_assignment_is_not_in_a_handout(results: dict[str, Any]) -> None:
    for comparison in (True, False):
        text = render_markdown(results, comparison=comparison)
        assert ("def backward(" in text, "course report" in text) == (comparison, comparison)


def test_every_setting_is_listed(results: dict[str, Any]) -> None:
    config = asdict(Config(max_updates=None, sample_every=10_000))
    listed = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \| [^|]+ \|$", changed(results, config=config), re.M))
    assert config.keys() <= listed.keys()
    assert (listed["max_updates"], listed["sample_every"], listed["learning_rate"]) == ("none", "10,000", "0.1")


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        (visible("a\tb\r\nc\rd\x00\x1b\x7f\x85\u202e\ud800\u200d\u2028\ufeff😀é\n"), "a\tb␍\nc␍d␀␛␡���\u200d��😀é\n"),
        (fenced("a\r\nx``````y"), "```````text\na\nx``````y\n```````"),
        *((code("x"), "`x`"), (code("a`b"), "``a`b``"), (code("`a"), "`` `a ``"), (code(""), "")),
        (cell("`a|b`"), "`a\\|b`"),
        (raise_exponents("<1.69×10⁻⁹"), "&lt;1.69×10<sup>−9</sup>"),
    ],
)
def test_texts_are_quoted(quoted: str, expected: str) -> None:
    assert quoted == expected


@pytest.mark.parametrize(
    ("formatted", "expected"),
    [
        *((pluralize(0, "update"), "0 updates"), (pluralize(1, "update"), "1 update")),
        (pluralize(12_345, "update"), "12,345 updates"),
        *((percent(0), "0 %"), (percent(0.001), "less than 1 %"), (percent(0.014), "1 %"), (percent(0.5), "50 %")),
        *((percent(0.999), "more than 99 %"), (percent(1), "100 %")),
        *((scientific(1.694e-9), "1.69×10⁻⁹"), (scientific(0), "0"), (scientific(None), "not a number")),
        *((duration(0), "0.0 s"), (duration(9.94), "9.9 s"), (duration(9.96), "10 s"), (duration(59.4), "59 s")),
        *((duration(59.6), "1 min"), (duration(250), "4 min 10 s"), (duration(3599.6), "1 h")),
        (duration(4320), "1 h 12 min"),
    ],
)
def test_numbers_are_rounded(formatted: str, expected: str) -> None:
    assert formatted.replace("\u00a0", " ") == expected
