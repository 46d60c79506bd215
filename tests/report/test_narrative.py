"""The report's sentences follow from the numbers, also where these say the opposite of what the reference found."""

from dataclasses import replace

import pytest

from elman.config import Config
from elman.report.curve_stats import CurveStats, PhaseSummary
from elman.report.lexicon import Name, WordCount
from elman.report.narrative import curve, language, summary
from elman.report.narrative.formatting import agree, duration, join_and, nats, percent, pluralize, scientific
from elman.report.narrative.summary import describe_scope
from elman.training.gradcheck import GradientCheck

FACTS = CurveStats(
    per_epoch=1000,
    start=104.5,
    uniform=104.36,
    end=41.0,
    first_tenth=0.93,
    epoch_minima=[44.0, 42.0, 41.0],
    lower=40,
    compared=40,
    wave=3.21,
)
SHORT = PhaseSummary(10, 10_000, 10, 0.5, 500_000, 41.5, 40.0, 9_500, None)
LONG = replace(SHORT, epochs_asked=100, updates=100_000, epochs=100, minimum_smooth_loss=38.0, minimum_at=97_000)


def plain(sentences: str) -> str:
    """Return sentences with common spaces."""
    return sentences.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 updates"), (1, "1 update"), (2, "2 updates"), (12_345, "12,345 updates")],
)
def test_what_is_counted_stands_in_its_number(value: int, said: str) -> None:
    assert plain(pluralize(value, "update")) == said
    assert agree(value, "is") == ("is" if value == 1 else "are")


def test_lists_read_as_english() -> None:
    assert [join_and("ABC"[:n]) for n in range(4)] == ["", "A", "A and B", "A, B and C"]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0 %"), (0.001, "less than 1 %"), (0.5, "50 %"), (0.999, "more than 99 %"), (1, "100 %"), (0.014, "1 %")],
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, said: str) -> None:
    assert plain(percent(share)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (250, "4 min 10 s"),
        (3599.6, "1 h"),
        (4320, "1 h 12 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert plain(duration(seconds)) == said


def test_numbers_of_a_table() -> None:
    assert nats(40) == "40.00"
    assert scientific(1.694e-9) == "1.69×10⁻⁹"
    assert scientific(0) == "0"
    assert scientific(float("nan")) == "not a number"


def checks(error: float) -> list[GradientCheck]:
    """Return two experiments, the second of which has this error in h0."""
    return [GradientCheck(5, 5, 5, {"V": 1e-9, "h0": 3e-9}), GradientCheck(5, 100, 5, {"V": 2e-9, "h0": error})]


def test_gradients_that_pass() -> None:
    said = summary.gradients(checks(4.2e-9))
    assert said.startswith("All 4 errors are below 10⁻⁷; the largest, 4.20×10⁻⁹, is that of h₀ in experiment 2.")


def test_gradients_that_do_not_pass() -> None:
    assert summary.gradients(checks(1e-3)).startswith(
        "The check has failed: the error of h₀ in experiment 2 is above 10⁻⁷."
    )
    assert "h₀ in experiment 2 is above" in summary.gradients(checks(float("nan")))
    two = [*checks(1e-3), GradientCheck(100, 100, 100, {"W": 1.0})]
    assert "the errors of h₀ in experiment 2 and W in experiment 3 are above" in summary.gradients(two)


def test_a_start_at_equal_chances() -> None:
    said = curve.compare_with_uniform(FACTS, 25, 65)
    assert "a loss of 25 · ln 65 = 104.36; the difference, 0.14, is due to the random" in said


@pytest.mark.parametrize(("start", "side"), [(130.0, "25 % higher"), (90.0, "14 % lower")])
def test_a_start_elsewhere(start: float, side: str) -> None:
    assert f"this one is {side}" in plain(curve.compare_with_uniform(replace(FACTS, start=start), 25, 65))


def test_a_fast_fall() -> None:
    said = plain(curve.describe_speed(FACTS, 10_000))
    assert said == (
        "The smooth loss falls fast at first and then slowly, as the published one does: of its decrease from 104.50 "
        "to 41.00, 93 % is reached after the first tenth of the 10,000 updates, and the rest in the other nine tenths."
    )
    assert "and none in the other nine tenths" in curve.describe_speed(replace(FACTS, first_tenth=1.02), 10_000)


def test_a_slow_fall_and_none() -> None:
    assert "does not fall fast at first" in curve.describe_speed(replace(FACTS, first_tenth=0.3), 10_000)
    assert "0 % is reached" in plain(curve.describe_speed(replace(FACTS, first_tenth=-0.3), 10_000))
    assert "does not fall at all: it goes from 104.50 to 110.00" in curve.describe_speed(
        replace(FACTS, end=110.0), 10_000
    )


def test_a_curve_that_goes_downward() -> None:
    said = plain(curve.describe_trend(FACTS))
    assert "this one is too: it is lower than one epoch earlier" in said
    assert "in 40 of 40 comparisons. The minimum of each epoch is below that of the previous epoch." in said
    assert "by 3.21 nats in the last one" in said


def test_a_curve_that_does_not_go_downward() -> None:
    assert "this one nearly is" in curve.describe_trend(replace(FACTS, lower=38))
    assert "this one mostly is" in curve.describe_trend(replace(FACTS, lower=30))
    said = curve.describe_trend(replace(FACTS, lower=10, epoch_minima=[44.0, 45.0, 41.0], wave=None))
    assert "this one is not" in said
    assert "The minimum of an epoch is below that of the previous epoch in 1 of 2 cases." in said
    assert "rises and falls" not in said


def test_two_epochs_and_fewer() -> None:
    two = replace(FACTS, epoch_minima=[44.0, 45.0])
    assert "The second epoch's minimum is not below the first's." in curve.describe_trend(two)
    one = replace(FACTS, epoch_minima=[44.0], lower=1, compared=1)
    assert "in 1 of 1 comparison. Within" in plain(curve.describe_trend(one))
    assert "This run is too short to tell" in curve.describe_trend(replace(FACTS, compared=0, lower=0))


def test_going_on() -> None:
    said = plain(curve.describe_long_run(SHORT, LONG))
    assert said == (
        "Training on from 10 to 100 epochs lowered the minimum smooth loss from 40.00 to 38.00 nats, 5 % less. "
        "The published losses are 38.87 after 10 epochs and 35.9 after 100, 8 % less."
    )


def test_going_on_in_vain_or_not_at_all() -> None:
    same = replace(LONG, minimum_smooth_loss=40.0)
    assert "did not lower the minimum smooth loss of 40.00 nats" in curve.describe_long_run(SHORT, same)
    assert plain(curve.describe_long_run(SHORT, None)).startswith("This run ended after 10 epochs.")


def test_a_part_that_a_limit_cut_short_is_measured_in_updates() -> None:
    cut = replace(LONG, epochs=12, updates=12_345)
    assert "Training on from 10 epochs to 12,345 updates" in plain(curve.describe_long_run(SHORT, cut))


def test_the_headline_figure_stands_beside_the_references() -> None:
    said = plain(curve.compare_with_published(SHORT, 20, 65, 1000))
    assert "40.00 nats per window of 20 characters, 2.000 nats per character." in said
    assert "The published minimum is 38.87 per window of 25, 1.555 per character." in said
    assert "a novel of 1,107,542 characters and 80 distinct characters, this one for 1,000 characters and 65" in said
    assert "not directly comparable" not in curve.compare_with_published(SHORT, 25, 80, 1_107_542)


ANNA, BORIS = Name("ANNA", 9, 20_000), Name("Boris", 5, 10_000)
NEVER = Name("Vera", 3)


def test_names_in_the_order_they_were_written() -> None:
    said = plain(language.describe_names([ANNA, BORIS, NEVER], 1_000_000, 100))
    assert said == (
        "The model has learned to spell 2 of the text's 3 most frequent names: Boris, at update 10,000, appeared "
        "first, and ANNA, at update 20,000, last. Not in any sample: Vera. The course report lists four names, and "
        "that of its novel's villain, first seen at update 931,000; here all of them appeared before that update. They "
        "were looked for in 100 samples, so the model may have learned names that were not sampled."
    )


def test_all_names_and_one_of_them() -> None:
    both = plain(language.describe_names([ANNA, BORIS], 30_000, 4))
    assert "learned to spell all of the text's 2 most frequent names" in both
    assert both.endswith("this run ends earlier, at 30,000.")
    one = plain(language.describe_names([ANNA, NEVER], 1_000_000, 4))
    assert (
        "learned to spell 1 of the text's 2 most frequent names: ANNA, at update 20,000. Not in any sample: Vera."
        in one
    )


def test_names_that_came_late() -> None:
    late = replace(BORIS, first_update=950_000)
    assert "here 1 of them appeared before that update" in language.describe_names([ANNA, late], 1_000_000, 4)


def test_a_single_name_and_no_name() -> None:
    assert "to spell the one name of the text: ANNA, at" in language.describe_names([ANNA], 1_000_000, 4)
    assert "No sample contains the one name of the text: Vera." in language.describe_names([NEVER], 1_000_000, 4)
    none = language.describe_names([NEVER, replace(NEVER, name="Olga")], 1_000_000, 4)
    assert "No sample contains any of the text's 2 most frequent names: Vera and Olga. The course" in none
    assert language.describe_names([], 1_000_000, 4).startswith("No names were found in the text")


def test_words_on_the_way() -> None:
    start, during = WordCount(0, 30, 3), [WordCount(10, 40, 20), WordCount(20, 0, 0), WordCount(30, 40, 30)]
    assert plain(language.describe_words(start, during, WordCount(40, 180, 144))) == (
        "Of the 180 words in the final sample, 144 (80 %) are words of the training text. Before the first "
        "update it was 3 of 30 (10 %), by chance. In between it was 50 % at update 10 and 75 % at update 30."
    )


def test_words_that_are_few_or_no_better_than_chance() -> None:
    worse = plain(language.describe_words(WordCount(0, 4, 2), [], WordCount(10, 4, 1)))
    assert worse.startswith("Of the 4 words in the final sample, 1 (25 %) is a word of the training text")
    assert worse.endswith("So the model generates no more words of the text than the untrained network did by chance.")
    one = language.describe_words(WordCount(0, 0, 0), [], WordCount(10, 1, 0))
    assert one == "The one complete word of the final sample is no word of the training text."
    none = language.describe_words(WordCount(0, 4, 2), [], WordCount(10, 0, 0))
    assert none == "The final sample has no complete word."


def test_how_far_one_run_reaches() -> None:
    assert "seed 7, in float64" in describe_scope(Config(seed=7, dtype="float64"))
