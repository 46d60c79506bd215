"""The settings of a run, by its text, its time budget and the speed of the machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import elman
from elman import recipe
from elman.config import Config, make_config
from elman.engine.processes import Process
from elman.errors import ElmanError
from elman.recipe import EPOCHS, SHORT_BUDGET, SHORT_TEXT, UNLIMITED, choose_recipe, round_speed
from elman.text import Corpus
from elman.training import initialization
from elman.training.callbacks import CallbackList
from elman.training.loop import start_run
from support.state import TEXT
from support.training import Listens, StopsAt, contents


def test_a_preset_is_scaled_to_a_short_text(tmp_path: Path) -> None:
    text, listens = Corpus.from_text((TEXT * 3)[:200]), Listens()
    small: dict[str, Any] = {"hidden_size": 3, "engine": "numpy", "sample_every": 0}
    run = elman.train(text, **small, preset="minute", out=tmp_path, callback=listens, max_updates=3)
    assert (run.config.batch_size, run.config.seq_length) == (2, 19)
    assert listens.notices[1].startswith("for 180 characters of training text: optimizer adam instead of muon, ")
    end = ", batch size 2 instead of 64, sequence length 19 instead of 64, start of the n-gram prior 1.0 instead of 0.8"
    assert listens.notices[1].endswith(end)
    assert elman.train(text, out=tmp_path, resume=True, max_updates=6).config.seq_length == 19
    run = elman.train(text, **small, preset="reference", batch_size=1, epochs=1)
    assert (run.config.seq_length, run.notices) == (25, run.notices[:1])
    run = elman.train(text, **small, preset="quick", seq_length=20, callback=StopsAt(1))
    assert (run.config.batch_size, run.config.epochs) == (2, EPOCHS)
    start = "start of the n-gram prior 1.0 instead of 0.5"
    assert run.notices[1].endswith(f"batch size 2 instead of 16, {start}, at most {EPOCHS} epochs")


def test_the_recipe_depends_on_the_text() -> None:
    text = Corpus.from_text((TEXT * 3)[:200])
    options: dict[str, Any] = {"preset": "strong", "hidden_size": 3, "engine": "numpy", "max_updates": 1}
    run = elman.train(text, **options)
    assert (run.config.optimizer, run.config.dropout, run.config.weight_decay) == ("adam", 0.15, 0.0)
    assert elman.train(text, **options, max_seconds=30.0).config.epochs == EPOCHS
    assert elman.train(text, **options, max_seconds=30.0, epochs=3).config.epochs == 3
    assert run.config.epochs == UNLIMITED
    run = elman.train(text, **options, optimizer="muon", dropout=0.3)
    assert (run.config.optimizer, run.config.dropout) == ("muon", 0.3)
    assert choose_recipe(SHORT_TEXT, 240)["optimizer"] == "muon"


def test_the_recipe_depends_on_the_time_budget() -> None:
    recipes = [choose_recipe(5_000_000, seconds) for seconds in (1, 9, 10, 60, 240, 600, 3600, 10**6)]
    assert [recipe["layers"] for recipe in recipes] == [1, 1, 1, 2, 4, 4, 4, 4]
    assert [choose_recipe(2_000_000, seconds)["layers"] for seconds in (9, 10, 60, 240)] == [1, 1, 2, 4]
    units, rates = ([recipe[name] for recipe in recipes[3:]] for name in ("hidden_size", "learning_rate"))
    assert units == sorted(units)
    assert [choose_recipe(n, 60)["layers"] for n in (150_000, 400_000, 10**6)] == [2, 4, 2]
    assert rates == sorted(rates, reverse=True)
    assert units[-1] == units[-2]


def test_the_recipe_for_a_text_that_is_not_read_once() -> None:
    read_often, read_in_part = (choose_recipe(n, 300) for n in (5_000_000, 60_000_000))
    assert [recipe["layers"] for recipe in (read_often, read_in_part)] == [4, 2]
    assert [recipe["ngram_start"] for recipe in (read_often, read_in_part)] == [0.8, 0.5]
    assert read_in_part["hidden_size"] < choose_recipe(5_000_000, 300, {"layers": 2})["hidden_size"]
    assert choose_recipe(60_000_000, 60)["hidden_size"] == choose_recipe(60_000_000, 20)["hidden_size"]
    assert choose_recipe(60_000_000, 3600)["layers"] == 4
    read_three_times = choose_recipe(60_000_000, 300, {"epochs": 3, "layers": 2})
    assert read_three_times["ngram_start"] == 0.8
    assert read_three_times["hidden_size"] > read_in_part["hidden_size"]


@pytest.mark.parametrize("seconds", [60, 300, 3600])
def test_a_longer_text_never_has_a_later_prior(seconds: float) -> None:
    starts = [choose_recipe(n, seconds)["ngram_start"] for n in range(10**6, 10**8, 10**6)]
    assert starts == sorted(starts, reverse=True)
    assert {*starts} == {0.8, 0.5}


def test_settings_that_depend_on_others_follow_those_that_are_passed() -> None:
    def choose(name: str, n: int = 5_000_000, seconds: float = 3600, **passed: Any) -> Any:
        recipe = choose_recipe(n, seconds, passed)
        assert not recipe.keys() & passed.keys()
        return recipe[name]

    assert choose("learning_rate", seconds=60, hidden_size=384) == choose("learning_rate", seconds=240, layers=2)
    assert choose("learning_rate", batch_size=32) == pytest.approx(choose("learning_rate") / 2**0.5, rel=0.02)
    assert choose("learning_rate", hidden_size=448, layers=4) == choose("learning_rate")
    assert choose("hidden_size", layers=2) > choose("hidden_size") == choose("hidden_size", layers=4)
    assert choose("dropout", max_updates=1000) == choose("dropout", epochs=3) == 0 < choose("dropout")
    assert choose("weight_decay", n=10**6, epochs=3) < choose("weight_decay", n=10**6)
    assert choose("weight_decay", n=10**6, optimizer="adam") == 0
    assert choose("learning_rate", optimizer="adamw") == choose("learning_rate", n=50_000)
    assert choose("learning_rate", optimizer="sgd") == make_config().learning_rate
    assert choose("layers", seconds=60, hidden_size=64) == 2
    assert choose("hidden_size", seconds=60, layers=1000) == 32
    assert choose("learning_rate", n=100_000, seconds=60, hidden_size=4500, layers=2) == pytest.approx(1.4e-4)


def test_the_first_of_several_limits_counts_and_the_rate_of_a_short_budget_follows_the_optimizer() -> None:
    limits: list[dict[str, Any]] = [
        {"max_updates": 10**6, "epochs": 2},
        {"max_updates": 10**6, "max_seconds": 60.0},
        {"epochs": 2},
    ]
    assert [choose_recipe(10**7, 60, passed)["dropout"] for passed in limits] == [0, 0, 0]
    assert choose_recipe(10**7, 60, {"max_updates": 10**6})["dropout"] > 0
    rates = [choose_recipe(10**6, 6, {"optimizer": name})["learning_rate"] for name in ("adam", "sgd", "muon")]
    assert rates == [0.007, make_config().learning_rate, 0.021]


def follow_recipe(config: Config, *passed: str, speed: float) -> tuple[int, int]:
    """Return the layers and the hidden units that the recipe of `strong` chooses."""
    chosen = vars(config) | recipe.fit_to_text(vars(config), 10**6, 10**6, 240 * speed, passed)
    return chosen["layers"], chosen["hidden_size"]


def test_the_recipe_depends_on_the_speed_of_the_machine() -> None:
    config = make_config("strong")

    def follow(factor: float, **passed: Any) -> tuple[int, int]:
        return follow_recipe(replace(config, **passed), *passed, speed=factor)

    assert follow(1) == (4, config.hidden_size)
    assert follow(0.25) == (2, make_config("minute").hidden_size)
    assert follow(1e-6) == (1, make_config("quick").hidden_size)
    assert follow(1, hidden_size=384) == (4, 384)


def test_without_a_limit_a_text_is_read_as_often_as_the_recipe_says() -> None:
    config = make_config("minute", {"max_seconds": None})
    assert recipe.fit_to_text(vars(config), 1000, 1000, 60.0, {"max_seconds"})["epochs"] == EPOCHS
    config = make_config("minute", {"max_updates": 5})
    assert recipe.fit_to_text(vars(config), 1000, 1000, 60.0, {"max_updates"})["epochs"] > EPOCHS


def test_the_speed_is_measured_where_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def decides(*passed: str, **settings: Any) -> bool:
        return initialization.speed_decides(make_config("minute", settings), passed)

    assert decides()
    assert decides(max_seconds=SHORT_BUDGET)
    assert not decides(max_seconds=SHORT_BUDGET - 1)
    assert not decides("max_updates", max_updates=10)
    assert not decides("hidden_size")
    monkeypatch.setattr(initialization, "current_process", lambda: Process(size=2))
    assert not decides()  # an update of one process alone would wait for the gradients of the others


def test_the_measured_speed_is_in_the_results_and_the_notice(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> None:
    monkeypatch.setattr(initialization, "measure_speed", lambda *_: 0.46)
    run = start_run(None, corpus, "minute", {"engine": "numpy"})
    assert run.results()["measured_speed"] == 0.46
    assert any("on a machine 0.46 times as fast as the presets' machine: " in notice for notice in run.notices)
    assert round_speed(0.46) == 0.5


@pytest.mark.parametrize("options", [{"batch_size": 32}, {"seq_length": 64, "batch_size": 32}, {"seq_length": 300}])
def test_what_is_passed_explicitly_is_not_lowered(options: dict[str, Any]) -> None:
    text = Corpus.from_text(TEXT[:30])
    with pytest.raises(ElmanError, match=r"^the text has \d+ characters, but a "):
        elman.train(text, hidden_size=3, engine="numpy", preset="minute", **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # 4 × 10^8 weights of 8 bytes, and as many squares, copied once, and gradients
        ({"hidden_size": 20_000}, r"at least 16\.0 GB, .* 8\.0 GB are available; lower hidden_size \(now 20,000\)"),
        ({"hidden_size": 10**9}, r"lower hidden_size \(now 1,000,000,000\)"),
        ({"layers": 10**12, "cell": "gru"}, r"or layers \(now 1,000,000,000,000\)$"),
        ({"batch_size": 100, "seq_length": 10, "hidden_size": 200}, r"lower batch_size \(now 100\) or seq_length"),
        ({"ngram_order": 4}, r"for n-gram counts, .* pass ngram_order=0$"),
        ({"ngram_order": 4, "ngram_max_size": 1e-5}, r"for weights"),  # of which a table is a few bytes at most
    ],
)
def test_a_training_that_needs_too_much_memory_is_refused_before_it_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: str
) -> None:
    text = Corpus.from_text(TEXT * 20)
    available = 8e9 if options.keys() & {"layers"} or options.get("hidden_size", 0) > 10**4 else 1e3
    monkeypatch.setattr(initialization, "available_memory", lambda: available)
    settings: dict[str, Any] = {"hidden_size": 1, "seq_length": 2, "max_updates": 2, "sample_every": 0} | options
    with pytest.raises(ElmanError, match=expected):
        elman.train(text, preset="reference", **settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_memory_of_counts_depends_on_the_text_and_on_the_table() -> None:
    """3 bytes per character, at most 4 per byte of the largest table."""
    for N, size, expected in ((1000, 256.0, 3000), (10**9, 256.0, 1_024_000_000)):
        config = make_config("reference", {"ngram_order": 3, "ngram_max_size": size})
        found = {name: needed for (name, _), needed in initialization._estimate_memory(config, 10, N).items()}
        assert found["n-gram counts"] == expected


def test_a_run_that_needs_too_much_memory_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Corpus.from_text(TEXT)
    options: dict[str, Any] = {"hidden_size": 3, "engine": "numpy", "preset": "reference"}
    elman.train(text, **options, max_updates=2, out=tmp_path)
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(initialization, "available_memory", lambda: 100)
        with pytest.raises(ElmanError, match=r"^not enough memory: .*; lower batch_size \(now 1\)"):
            elman.train(text, out=tmp_path, resume=True, max_updates=4)
        with pytest.raises(ElmanError, match=r"^not enough memory: "):
            elman.train(text, **options, out=tmp_path, overwrite=True)
    assert contents(tmp_path) == before
    assert elman.train(text, out=tmp_path, resume=True, max_updates=4).state.update == 4


def test_the_time_budget_limits_the_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A resumed run reads the same sample, also with another budget; without a budget there is no limit."""
    monkeypatch.setattr(recipe, "MAX_CHARS_PER_SECOND", 500)
    text, listens = tmp_path / "text.txt", Listens()
    text.write_text("".join(f"line {n}\n" for n in range(1000)), encoding="utf-8")
    options: dict[str, Any] = {"preset": "quick", "hidden_size": 3, "engine": "numpy", "out": tmp_path / "run"}
    options["lines"] = False
    run = elman.train(text, **options, max_seconds=6.0, callback=CallbackList(listens, StopsAt(1)))
    assert (run.config.max_chars, run.config.validation_chars) == (3000, 100_000)
    assert 2000 < len(run.corpus.indices) <= 3000
    chars = len(text.read_text("utf-8"))
    assert f"; sampled from {chars:,} characters in 3 pieces, spread evenly (max_chars)" in listens.notices[0]
    again = elman.train(out=tmp_path / "run", resume=True, max_seconds=60.0, callback=StopsAt(2))
    assert (again.config.max_chars, again.corpus.text) == (3000, run.corpus.text)
    longer = elman.train(text, config=run.config, max_seconds=12.0, max_updates=1).config
    assert (longer.max_chars, longer.validation_chars) == (6000, 100_000)
    options |= {"out": None, "max_updates": 1}
    config = elman.train(text, **options, max_seconds=6.0, validation=0.1, validation_chars=30_000).config
    assert (config.max_chars, config.validation_chars) == (3000, 30_000)
    assert elman.train(text, **options).corpus.text == text.read_text("utf-8")
    assert len(elman.train(text, **options, max_chars=2000).corpus.indices) <= 2000
