"""Words and names of a text, and of samples."""

import pytest

from elman.apps.report.lexicon import build_lexicon, classify_words, count_words, find_names, measure_form
from elman.runs.history import Sample
from elman.text.reading import cut_pieces

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


def test_speakers_are_names_and_words_that_only_begin_sentences_are_not() -> None:
    assert build_lexicon([PLAY]).names == {"romeo": ("ROMEO", 3), "mercutio": ("Mercutio", 3), "juliet": ("JULIET", 3)}
    assert list(build_lexicon([NOVEL]).names) == ["anna"]


def test_a_short_name_is_one_and_a_title_is_none() -> None:
    text = 'he saw Ron with Professor Snape, and "Ron" saw Professor Moody; then he and Ron met Mrs Weasley there. '
    assert [*build_lexicon([text * 3]).names] == ["ron", "snape", "moody", "weasley"]


def test_the_form_of_a_text_is_counted() -> None:
    text = 'He came. "Who?" she said. it rained.\nThen “no”, and “yes. "Well\nso. '
    assert measure_form(text) == {"sentences": 4, "capitalized": 2, "quotations": 4, "closed": 2}
    assert measure_form("") == {"sentences": 0, "capitalized": 0, "quotations": 0, "closed": 0}


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
    assert build_lexicon([text]).names == {}


def test_a_text_in_pieces_has_the_same_lexicon() -> None:
    text = PLAY + NOVEL.replace(". ", ".\n")
    assert build_lexicon(cut_pieces([text[:77], text[77:]], 60)) == build_lexicon([text])


def test_words_cut_by_the_ends_of_a_sample_are_not_counted() -> None:
    sample = Sample(7, None, "ght the DARK xyz, I x ni")
    counted = count_words(sample, build_lexicon([PLAY]).words)
    assert counted == {"update": 7, "written": 3, "known": 2, "share": 2 / 3}
    assert count_words(Sample(0, None, "!"), frozenset())["share"] == 0


def test_names_are_dated_by_the_first_sample_that_has_them_whole() -> None:
    samples = [
        Sample(0, None, "xROMEO romeo ROMEOx ROMEO"),  # never whole, with a capital and within the sample
        Sample(10, None, "so, Romeo: you"),
        Sample(20, None, "so, ROMEO! and JULIET"),
    ]
    romeo, mercutio, juliet = find_names(build_lexicon([PLAY]).names, samples)
    assert romeo == {"name": "ROMEO", "count": 3, "first_update": 10, "context": "so, Romeo: you"}
    assert mercutio == {"name": "Mercutio", "count": 3, "first_update": None, "context": ""}
    assert juliet["first_update"] is None  # it touches the end, where it may be cut


def test_what_stands_around_a_name_is_one_line_of_whole_words() -> None:
    long = "aaaa " * 20 + "bb\nROMEO:\ncc " + "dddd " * 20
    context = find_names(build_lexicon([PLAY]).names, [Sample(1, None, long)])[0]["context"]
    assert context.startswith("aaaa ")
    assert "bb ROMEO: cc dddd" in context
    assert context.endswith(" dddd")
    for last, end in (("e" * 6, "dddd eeeeee"), ("e" * 7, "dddd")):  # the first ends with the context, the other is cut
        sample = Sample(1, None, f"a\nROMEO {'dddd ' * 5}{last}")
        assert find_names(build_lexicon([PLAY]).names, [sample])[0]["context"].endswith(f" {end}")


def test_a_marked_sample_is_the_sample() -> None:
    text = "\nROMEO:\nxx night, 12 night"
    pieces = classify_words(text, build_lexicon([PLAY]))
    assert "".join(piece for _, piece in pieces) == text
    assert pieces[1:4] == [("name", "ROMEO"), ("between", ":\n"), ("invented", "xx")]
    assert classify_words("", build_lexicon([PLAY])) == []
