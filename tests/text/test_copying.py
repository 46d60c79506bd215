"""How much of a text is copied, against a search for every run."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from elman.text.copying import RUN, measure_copying
from support.cli import Command
from support.state import TEXT
from support.training import SMALL, train


def slowly(text: str, source: str) -> tuple[int, float]:
    """Return the length of the longest common run and the copied share."""
    runs = [text[i : i + RUN] in source for i in range(len(text) - RUN + 1)]
    lengths = [n for n in range(len(text) + 1) if any(text[i : i + n] in source for i in range(len(text) - n + 1))]
    return max(lengths), sum(runs) / len(runs) if runs else 0.0


@settings(max_examples=50)
@given(st.text("ab漢", max_size=60), st.text("ab漢", max_size=60), st.integers(0, 60), st.sampled_from([3, 50, 1000]))
@example("", "", 0, 3)
@example("a" * 50, "a" * 23, 0, 3)
def test_it_finds_what_a_search_finds(text: str, source: str, copied: int, chunk: int) -> None:
    source += text[:copied]
    longest, share = measure_copying(text, [source[n : n + chunk] for n in range(0, len(source), chunk)])
    assert (len(longest), share) == slowly(text, source)
    assert longest in text
    assert longest in source


def test_sample_reports_it(tmp_path: Any, command: Command) -> None:
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    model = train(file, **SMALL, max_updates=3, engine="numpy", out=tmp_path / "run").model
    text = model.sample(90, seed=1)
    longest, share = measure_copying(text, [TEXT])
    options = ["--seed", 1, "--length", 90, "--copied-from", file]
    ended = command("sample", tmp_path / "run", *options)
    assert ended.out == text + "\n"
    assert ended.err == (
        f"copied: {share:.1%} of the runs of 20 characters; the longest run has"
        f" {len(longest)} characters: {longest!r}\n"
    )
    assert command("sample", tmp_path / "run", *options, "--count", 2).err.count("copied: ") == 2
