"""Words, names, and what is read off a curve."""

import math

import pytest

from elman.report.curve_stats import curve_stats
from elman.report.lexicon import Name, WordCount, build_lexicon, classify_words, count_words, first_written
from elman.runs.records import Metrics, Sample

PLAY = """ROMEO:
The night is dark, and Mercutio is late.

JULIET:
Is Mercutio here? The night is dark, gentle Romeo.

ROMEO:
Then Juliet may see how late Mercutio is.

JULIET:
Then let the night be dark.
"""
NOVEL = (
    "But Anna knew. Then Anna went out, and Anna's sister followed Anna. Then she slept. Then she woke. Then it rained."
)


def test_the_speakers_of_a_play_are_names() -> None:
    assert build_lexicon(PLAY).names == {"romeo": ("ROMEO", 3), "mercutio": ("Mercutio", 3), "juliet": ("JULIET", 3)}


def test_a_word_that_only_begins_sentences_is_no_name() -> None:
    assert list(build_lexicon(NOVEL).names) == ["anna"]


@pytest.mark.parametrize(
    "text",
    [
        "the cat and the dog and the cat",
        "so said Anna, so said Anna",  # too rare
        "he met Al and Al and Al and Al",  # too short
        "by rose and Rose, by rose and Rose, by rose and Rose",  # as often without a capital
        "ANNA WENT OUT AND ANNA CAME HOME AND ANNA SLEPT",  # a capital says nothing here
        "她说她说她说她 她说她说她说她 她说她说她说她",  # there are none
    ],
)
def test_texts_without_names(text: str) -> None:
    assert build_lexicon(text).names == {}


def test_the_words_of_a_text_are_those_of_any_case() -> None:
    assert build_lexicon("Hej då, hej_DÅ 2nd").words == {"hej", "då", "nd"}


def test_words_cut_by_the_ends_of_a_sample_are_not_counted() -> None:
    sample = Sample(7, None, "ght the DARK xyz, I x ni")
    assert count_words(sample, build_lexicon(PLAY).words) == WordCount(7, 3, 2)
    assert WordCount(7, 3, 2).share == 2 / 3
    assert count_words(Sample(0, None, "!"), frozenset()).share == 0


def test_names_are_dated_by_the_first_sample_that_has_them_whole() -> None:
    samples = [
        Sample(0, None, "xROMEO romeo ROMEOx ROMEO"),  # never whole, with a capital and within the sample
        Sample(10, None, "so, Romeo: you"),
        Sample(20, None, "so, ROMEO! and JULIET"),
    ]
    romeo, mercutio, juliet = first_written(build_lexicon(PLAY).names, samples)
    assert romeo == Name("ROMEO", 3, 10, "so, Romeo: you")
    assert mercutio == Name("Mercutio", 3, None, "")
    assert juliet.first_update is None  # it touches the end, where it may be cut


def test_what_stands_around_a_name_is_one_line_of_whole_words() -> None:
    long = "aaaa " * 20 + "bb\nROMEO:\ncc " + "dddd " * 20
    context = first_written(build_lexicon(PLAY).names, [Sample(1, None, long)])[0].context
    assert context.startswith("aaaa ")
    assert "bb ROMEO: cc dddd" in context
    assert context.endswith(" dddd")


def test_a_marked_sample_is_the_sample() -> None:
    text = "\nROMEO:\nxx night, 12 night"
    pieces = classify_words(text, build_lexicon(PLAY))
    assert "".join(piece for _, piece in pieces) == text
    assert pieces[1:4] == [("name", "ROMEO"), ("between", ":\n"), ("invented", "xx")]
    assert classify_words("", build_lexicon(PLAY)) == []


def rows(*points: tuple[int, float]) -> list[Metrics]:
    """Return a curve through (update, smooth loss)."""
    return [Metrics(update, 0, S, S, None, 0.0, 0.0) for update, S in points]


def test_a_curve_is_compared_at_equal_places_in_the_text() -> None:
    wave = [
        (n, 60 - n / 10 + (n % 10)) for n in range(1, 31)
    ]  # rises within each epoch of 10, falls from one to the next
    facts = curve_stats(rows((1, 100.0), *wave[1:]), 10, 99.0)
    assert (facts.start, facts.uniform, facts.end) == (100.0, 99.0, 57.0)
    assert (facts.lower, facts.compared) == (19, 19)
    assert facts.epoch_minima == pytest.approx((59.0, 58.0, 57.0))
    assert facts.minima_lower == 2
    assert facts.wave == pytest.approx(9.1)  # from 66.1 at update 29 to 57 at 30
    assert facts.fell


def test_a_fall_is_shared_out_and_a_rise_is_none() -> None:
    assert curve_stats(rows((1, 100.0), (10, 60.0), (100, 50.0)), 1000, 99.0).first_tenth == pytest.approx(0.8)
    risen = curve_stats(rows((1, 100.0), (100, 110.0)), 1000, 99.0)
    assert not risen.fell
    assert risen.first_tenth == 0


def test_a_curve_of_one_update() -> None:
    facts = curve_stats(rows((1, 100.0)), 10, 99.0)
    assert (facts.compared, facts.epoch_minima, facts.wave) == (0, [], None)
    assert math.isfinite(facts.first_tenth)
