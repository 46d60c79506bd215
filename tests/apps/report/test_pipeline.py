"""The report as a whole: what it writes, how it resumes, and what it rejects."""

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.apps.course.faults import KIT
from elman.apps.report import pipeline, report
from elman.apps.report.curve import SOON, find_jumps, measure_curve
from elman.apps.report.plots import _draw_epochs, draw_losses
from elman.errors import ElmanError
from elman.model.loading import load
from elman.runs.directory import PLOT
from elman.runs.plots import create_figure
from elman.runs.snapshot import Snapshot
from elman.testing.gradcheck import REPORTED
from elman.text import Corpus
from elman.training import loop
from elman.training.callbacks import TrainingCallback
from elman.training.run import Run
from support.cli import Command
from support.html_page import Page
from support.kills import Killed, kill_at
from support.training import train

TEXT = "Anna saw the night, and the night saw Anna; so Anna slept, for the rain fell on Anna. Then she woke.\n" * 4
SMALL: dict[str, Any] = {"hidden_size": 8, "seq_length": 10, "sample_every": 20, "metrics_every": 10}
SMALL |= {"sample_length": 60}
PER_EPOCH = (len(TEXT) - 1) // 10
SOLUTION = (KIT / "solution.py").read_text("utf-8")
FILES = [".lock", "complete_run.png", "complete_run.svg", "report.html", "report.md", "results.json", "run", "seeds"]
FILES += ["smooth_loss.png", "smooth_loss.svg"]


@pytest.fixture
def corpus() -> Corpus:
    return Corpus.from_text(TEXT, "anna")


@pytest.fixture
def _one_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gradient check be its first experiment, which takes no time."""
    monkeypatch.setattr(pipeline, "REPORTED", REPORTED[:1])


class Stopper(TrainingCallback):
    """Asks to stop once this many updates are done, or this many experiments are."""

    def __init__(self, updates: int = 10**9, checks: int = 10**9) -> None:
        self.updates, self.checks = updates, checks
        self.seen: list[str] = []

    def on_gradient_check(self, points: int, hidden_size: int, seq_length: int, done: float) -> None:
        if done == 1:
            self.checks -= 1
            self.seen.append(f"{points} {hidden_size} {seq_length}")

    def on_compile(self) -> None:
        self.seen.append("preparing")

    def on_progress(self, run: Run, updates: int) -> None:
        self.updates = 0 if run.state.update >= self.updates else self.updates

    def should_stop(self) -> bool:
        return self.updates <= 0 or self.checks <= 0


@pytest.mark.parametrize("name", ["smooth_loss.png", "complete_run.svg", "report.md", "report.html", "results.json"])
def test_files_that_may_be_another_programs_are_not_replaced(name: str, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / name).write_text("another's")
    with pytest.raises(
        ElmanError, match=rf"{name}' (already exists; move it, or|cannot be read as .* or) choose another"
    ):
        report(corpus, out=tmp_path, epochs=1, **SMALL)
    assert (tmp_path / name).read_text() == "another's"


@pytest.mark.usefixtures("_one_experiment")
def test_no_other_run_begins_in_a_report_during_its_gradient_check(corpus: Corpus, tmp_path: Path) -> None:
    class Other(Stopper):
        def on_gradient_check(self, points: int, hidden_size: int, seq_length: int, done: float) -> None:
            super().on_gradient_check(points, hidden_size, seq_length, done)
            with pytest.raises(ElmanError, match="run' is locked, another process is writing to it"):
                train(corpus, out=tmp_path / "report/run", max_updates=1, **SMALL)

    assert report(corpus, out=tmp_path / "report", epochs=1, long_epochs=1, callback=Other(updates=5), **SMALL) is None


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(results))
    del copy["times"]
    for part in (copy["short"], copy["long"], *copy["seeds"]):
        for metric in ("seconds", "chars_per_second"):
            part.pop(metric)
    return copy


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The results and the directory of one whole report; the experiments of the reference would take a minute."""
    out = tmp_path_factory.mktemp("whole") / "report"
    with pytest.MonkeyPatch.context() as patch:
        experiments = [(min(points, 10), min(m, 10), min(T, 10), errors) for points, m, T, errors in REPORTED]
        patch.setattr(pipeline, "REPORTED", experiments)
        results = report(Corpus.from_text(TEXT, "anna"), out=out, epochs=2, long_epochs=4, seeds=2, **SMALL)
    assert results is not None
    return results, out


def test_the_plot_names_each_seed(whole: tuple[dict[str, Any], Path]) -> None:
    results, out = whole
    legend = draw_losses(results)["smooth_loss"].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["seed 400", "seed 401"]
    assert {">seed 400<", ">seed 401<"} <= {*re.findall(">seed [0-9]+<", (out / "report.html").read_text("utf-8"))}


@pytest.mark.parametrize("epochs", [2, 3])
def test_the_mean_of_each_epoch_is_drawn_from_three_epochs_on(epochs: int) -> None:
    figure, (axes,) = create_figure("loss")
    curve = {"update": [*range(1, 10 * epochs + 1)], "smooth_loss": [*map(float, range(10 * epochs))]}
    axes.plot(*curve.values())
    _draw_epochs(figure, curve, 10)
    means = [np.asarray(line.get_xydata()).tolist() for line in axes.lines[1:]]
    assert means == ([[[15, 14.5], [25, 24.5]]] if epochs > 2 else [])


def test_the_results_are_those_of_the_runs(whole: tuple[dict[str, Any], Path], corpus: Corpus) -> None:
    results, _ = whole
    for part, epochs in (("short", 2), ("long", 4)):
        run = train(corpus, epochs=epochs, **SMALL)
        per_window = {name: getattr(run.state, name) for name in ("smooth_loss", "minimum_smooth_loss")}
        regular = [sample for sample in run.samples if sample.update % run.config.sample_every == 0]
        plotted = [(10 * each.smooth_loss, each.update) for each in regular if each.smooth_loss]
        expected = run.results() | per_window | {"requested_epochs": epochs}
        expected |= dict(zip(("plotted_minimum", "plotted_minimum_at"), min(plotted), strict=True))
        compared = {name for name in results[part] if "second" not in name}
        assert {name: results[part][name] for name in compared} == {name: expected[name] for name in compared}
    assert [sample["text"] for sample in results["samples"]] == [sample.text for sample in regular[:11]]
    assert [seed["seed"] for seed in results["seeds"]] == [400, 401]
    other = train(corpus, epochs=2, seed=401, **SMALL).state
    assert results["seeds"][1]["minimum_smooth_loss"] == other.minimum_smooth_loss
    assert results["seeds"][1]["curve"]["smooth_loss"][-1] == other.smooth_loss
    first = TEXT[len(TEXT) - 1 if len(TEXT) <= 1200 else 1200]
    assert results["first_character"] == first
    assert results["final"]["text"] == first + run.model.sample(999, prompt=first, seed=400)
    T, points = run.config.seq_length, dict(zip(*results["curve"].values(), strict=True))
    assert [sample["smooth_loss"] for sample in results["samples"][1:]] == pytest.approx(
        [T * sample.smooth_loss for sample in regular[1:11] if sample.smooth_loss is not None]
    )
    assert [points[row.update] for row in run.metrics] == pytest.approx([T * row.smooth_loss for row in run.metrics])
    assert results["statistics"]["start"] == pytest.approx(train(corpus, max_updates=1, **SMALL).state.smooth_loss)
    assert results["curve"]["update"] == sorted({*(row.update for row in run.metrics), 2 * PER_EPOCH})
    assert [name["name"] for name in results["names"]] == ["Anna"]
    check = results["gradient_check"]
    assert (len(check["experiments"]), len(check["zero_state"]), check["passed"]) == (3, 3, True)
    assert check["experiments"] != check["zero_state"]
    assert results["finished"]


def test_a_report_is_files_that_refer_to_nothing_outside(whole: tuple[dict[str, Any], Path]) -> None:
    results, out = whole
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == results
    assert (out / "smooth_loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "smooth_loss.svg").read_text(encoding="utf-8")
    markdown = (out / "report.md").read_text(encoding="utf-8")
    for image in ("smooth_loss.png", "complete_run.png"):
        assert f"]({image})" in markdown
        assert (out / image).exists()
    text = (out / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(reference.startswith("#") for reference in page.references)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 2
    assert "script" not in page.tags
    for outside in ("http:", "https:", "url(//", "@import", "url('", 'url("'):
        assert outside not in text
    assert "#1f5fa8" not in text.partition("<svg")[2]  # the figures have the colours of the page
    for part in ("Gradient check", "Smooth loss", "Text during training", "Text after training", "var(--accent)"):
        assert part in text


@pytest.mark.usefixtures("_one_experiment")
@pytest.mark.parametrize("updates", [PER_EPOCH, 2 * PER_EPOCH + 1, 4 * PER_EPOCH - 11])
def test_a_stopped_report_resumes_to_the_same_results(
    updates: int, corpus: Corpus, whole: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    options = SMALL | {"out": tmp_path, "epochs": 2, "long_epochs": 4, "seeds": 2}
    assert report(corpus, callback=Stopper(updates=updates), **options) is None
    assert not json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["finished"]
    assert not (tmp_path / "report.html").exists()
    results = report(corpus, resume=True, **options)
    assert results is not None
    expected = without_times(whole[0])
    for kind in ("experiments", "zero_state"):
        expected["gradient_check"][kind] = expected["gradient_check"][kind][:1]
    assert without_times(results) == expected


@pytest.mark.usefixtures("_one_experiment")
@pytest.mark.parametrize("last", [1, 2], ids=["first phase", "second phase"])
def test_a_report_that_is_killed_after_the_last_checkpoint_of_a_phase_ends_as_one_that_was_not(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """What is saved after that: the text of the best network, the end in ``run.json``, and the plot."""
    options = SMALL | {"epochs": 2, "long_epochs": 4}
    whole = report(corpus, out=tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        kill_at(patch, last, "before", [(loop, "finish")])
        with pytest.raises(Killed):
            report(corpus, out=tmp_path / "killed", **options)
    killed = report(corpus, out=tmp_path / "killed", resume=True, **options)
    assert whole is not None
    assert killed is not None
    assert without_times(killed) == without_times(whole)
    manifests = [(tmp_path / name / "run" / "run.json").read_bytes() for name in ("whole", "killed")]
    assert manifests[0] == manifests[1]
    assert (tmp_path / "killed" / "run" / PLOT).exists()


def test_the_text_of_the_best_network_is_saved_again_if_that_has_failed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = list[float]()

    def save(network: Snapshot, smooth_loss: float) -> None:
        saved.append(smooth_loss)
        if len(saved) == 1:
            raise ElmanError("the disk is full")

    best = pipeline._BestNetwork(TrainingCallback(), 100.0, save)
    with pytest.raises(ElmanError, match="the disk is full"):
        train(corpus, **SMALL, max_updates=20, out=tmp_path, callback=best)
    best.save_network()
    best.save_network()
    assert saved == [best.lowest, best.lowest]


def test_a_report_stopped_in_gradcheck_resumes(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "REPORTED", [(5, 5, 5, {}), (6, 4, 3, {}), (7, 3, 2, {})])
    options = SMALL | {"out": tmp_path, "epochs": 1, "long_epochs": 1}
    assert report(corpus, callback=Stopper(checks=1), **options) is None
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    callback = Stopper()
    results = report(corpus, resume=True, callback=callback, **options)
    assert callback.seen == ["6 4 3", "7 3 2", "5 5 5", "6 4 3", "7 3 2", "preparing"]
    assert results is not None
    assert [len(results["gradient_check"][kind]) for kind in ("experiments", "zero_state")] == [3, 3]
    assert results["long"] is None


@pytest.mark.usefixtures("_one_experiment")
def test_a_finished_report_can_be_continued_to_more_epochs(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = report(corpus, out=tmp_path, epochs=1, long_epochs=2, **SMALL)
    longer = report(corpus, out=tmp_path, epochs=1, long_epochs=3, resume=True)
    assert first is not None
    assert longer is not None
    assert longer["short"] == first["short"]
    assert longer["long"]["epochs"] == 3
    assert capsys.readouterr() == ("", "")  # progress is the caller's
    with pytest.raises(ElmanError, match=r"is already at epoch 3; use epochs=1$"):
        report(corpus, out=tmp_path, epochs=2, long_epochs=3, resume=True)


@pytest.mark.usefixtures("_one_experiment")
def test_a_report_replaces_rare_characters_and_does_so_on_resume(tmp_path: Path) -> None:
    corpus = Corpus.from_text(TEXT + "é漢")
    results = report(corpus, out=tmp_path, epochs=1, long_epochs=1, min_count=2, **SMALL)
    assert results is not None
    assert (results["config"]["min_count"], results["alphabet"][-1]) == (2, "\ufffd")
    assert not set("é漢") & set(results["alphabet"])
    assert "\ufffd" in load(tmp_path / "run").alphabet.characters
    longer = report(corpus, out=tmp_path, epochs=1, long_epochs=2, resume=True, **SMALL)
    assert longer is not None
    assert longer["long"]["epochs"] == 2
    with pytest.raises(ElmanError, match=r"cannot change min_count on resume \(run: 2, given: 3\)"):
        report(corpus, out=tmp_path, epochs=1, long_epochs=3, resume=True, min_count=3, **SMALL)


@pytest.mark.usefixtures("_one_experiment")
def test_the_text_is_that_of_the_network_with_the_lowest_smooth_loss(corpus: Corpus, tmp_path: Path) -> None:
    options = SMALL | {"learning_rate": 1.0, "dtype": "float32"}
    results = report(corpus, out=tmp_path, epochs=2, long_epochs=2, **options)
    rows = train(corpus, epochs=2, **options).metrics
    update = min(rows, key=lambda row: row.smooth_loss).update
    assert 0 < update < rows[-1].update
    best = train(corpus, epochs=2, max_updates=update, **options)
    assert results is not None
    first = results["first_character"]
    text = first + best.model.sample(999, prompt=first, seed=400)
    assert results["best"] == {"update": update, "smooth_loss": best.state.smooth_loss, "text": text}
    assert results["final"]["update"] == rows[-1].update


@pytest.mark.usefixtures("_one_experiment")
def test_a_submission_is_shown_beside_a_dense_curve(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "my_rnn.py").write_text(SOLUTION.replace("dW += np.outer(da, h[t])", "dW += np.outer(da, h[t + 1])"))
    options = {name: value for name, value in SMALL.items() if name != "metrics_every"} | {"comparison": False}
    options |= {"submission": tmp_path / "my_rnn.py"}
    results = report(corpus, out=tmp_path / "report", epochs=2, long_epochs=2, **options)
    assert results is not None
    assert results["curve"]["update"] == [*range(1, 2 * PER_EPOCH + 1)]
    submission = results["submission"]
    errors = [{name for name, error in each.items() if error > 1e-7} for each in submission["gradient_check"]]
    assert (submission["findings"], errors) == ([], [{"W"}] * 3)
    assert submission["training"]["updates"] == 2 * PER_EPOCH
    assert submission["training"]["curve"]["smooth_loss"][0] == pytest.approx(results["curve"]["smooth_loss"][0], 1e-5)
    html, markdown = ((tmp_path / "report" / f"report.{suffix}").read_text("utf-8") for suffix in ("html", "md"))
    assert ("course report" in markdown, "38.87" in markdown, "def backward" in markdown) == (False, False, False)
    assert "\n| `my_rnn.py` | 2.0 |" in markdown
    assert html.count(">my_rnn.py<") == 4  # two tables, the introduction, and the legend


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TEXT, {"seq_length": 0}, "seq_length must be at least 1"),
        (TEXT, {"seq_length": 10_000}, "but a sequence length of 10,000 needs"),
        (TEXT, {"resume": True}, "no report in"),
        (TEXT, {"seeds": 0}, r"^seeds must be from 1 to 100 \(got 0\)$"),
        (TEXT, {"long_epochs": 0}, r"^long_epochs must be at least 1 \(got 0\)$"),
        (TEXT, {"lines": True}, r"^a report needs a network that reads running text: remove lines$"),
        (TEXT, {"hidden_size": 0, "ngram_order": 4}, r"^a report needs a network .*: remove hidden_size=0$"),
        (TEXT, {"sample_every": 0}, r"^a report shows samples .*: sample_every must be at least 1 \(got 0\)$"),
        ("ab" * 9, {}, r"needs more than 100 characters \(got 18 in 'text'\)"),
        ("ab" * 50, {}, r"needs more than 100 characters \(got 100 in 'text'\)"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 6000))), {}, "min_count"),
    ],
)
def test_unusable_arguments_are_rejected(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    callback = Stopper()
    with pytest.raises(ElmanError, match=message):
        report(Corpus.from_text(text), out=tmp_path / "new", callback=callback, **options)
    assert callback.seen == []
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("_one_experiment")
def test_unusable_directories_are_rejected(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ElmanError, match=r"cannot write in .*file. \(Not a directory\): choose another out$"):
        report(corpus, out=tmp_path / "file", **SMALL)
    out = tmp_path / "report"
    report(corpus, out=out, epochs=1, long_epochs=2, **SMALL)
    with pytest.raises(ElmanError, match="already contains a report: use resume=True"):
        report(corpus, out=out, epochs=1, long_epochs=2, **SMALL)
    with pytest.raises(ElmanError, match="trained on another text"):
        report(Corpus.from_text(TEXT + "!"), out=out, epochs=1, long_epochs=2, resume=True)
    (out / "run").rename(tmp_path / "moved")
    (out / "run").symlink_to(tmp_path / "moved")
    with pytest.raises(ElmanError, match=r"run' is a link, which is not followed: remove it or choose another out$"):
        report(corpus, out=out, epochs=1, long_epochs=3, resume=True, **SMALL)
    (out / "run").unlink()
    finished = (out / "results.json").read_text(encoding="utf-8")
    (out / "results.json").unlink()
    os.mkfifo(out / "results.json")
    with pytest.raises(ElmanError, match=r"cannot be read as the results of a report .*Not a regular file"):
        report(corpus, out=out, epochs=1, long_epochs=2, resume=True)
    (out / "results.json").unlink()
    saved = json.loads(finished)
    changes: list[tuple[str, str, Any]] = [
        ("short", "minimum_at", "898"), ("short", "updates", -5), ("short", "smooth_loss", "nan"), ("best", "text", 5),
        ("best", "update", 1.5), ("times", "whole_seconds", None),
    ]  # fmt: skip
    for part, name, value in changes:
        damaged = json.dumps(saved | {part: saved[part] | {name: value}})
        (out / "results.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ElmanError, match=f"cannot be read as the results of a report .*{name}"):
            report(corpus, out=out, epochs=1, long_epochs=2, resume=True)
    check = {"experiments": [{"points": 5, "hidden_size": 5, "seq_length": 5, "relative_error": 5}]}
    wrong = json.dumps({"gradient_check": check | {"zero_state": []}, "short": None, "best": None})
    for damaged in ("[", "{}", '{"gradient_check": {"experiments": [1]}, "short": null}', "[" * 100_000, wrong):
        (out / "results.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ElmanError, match="cannot be read as the results of a report"):
            report(corpus, out=out, epochs=1, long_epochs=2, resume=True)


def curve(*points: tuple[int, float]) -> dict[str, list[float]]:
    update, S = zip(*points, strict=True)
    return {"update": list(update), "smooth_loss": list(S)}


WAVE = [(n, 60 - n / 10 + n % 10) for n in range(2, 41)]  # rises within each epoch, falls from one to the next
EARLY = [100.0 - n for n in range(60)]


@pytest.mark.parametrize(
    ("points", "early", "last", "per_epoch", "expected"),
    [
        (WAVE, [100.0], 30, 10, {"per_epoch": 10, "start": 100.0, "end": 57.0, "lower": 19, "compared": 19}),
        ([(10, 60.0), (100, 50.0)], [], 100, 1000, {"first_tenth": pytest.approx(0.8)}),
        ([(10, 60.0), (100, 110.0)], [], 100, 1000, {"first_tenth": 0.0}),
        ([], [100.0], 1, 10, {"compared": 0, "first_tenth": 0, "end": 100}),
        ([(1000, 40.0)], EARLY, 1000, 1000, {"soon": EARLY[SOON - 1], "half_at": 31}),
        ([(1000, 40.0)], EARLY[:10], 1000, 1000, {"soon": None, "half_at": None}),
        ([(1000, 140.0)], EARLY, 1000, 1000, {"half_at": None}),
    ],
)  # fmt: skip
def test_the_statistics_of_a_curve(
    points: list[tuple[int, float]], early: list[float], last: int, per_epoch: int, expected: dict[str, Any]
) -> None:
    statistics = measure_curve(curve((1, 100.0), *points), early, last, per_epoch)
    assert {name: statistics[name] for name in expected} == expected


def rising(rises: dict[int, float]) -> dict[str, list[float]]:
    """Return a curve of epochs of 100 updates, at whose starts S rises by 1, or by another number, for 10 updates."""
    points = [(1, 100.0)]
    for update in range(10, 701, 10):
        epoch, place = divmod(update - 1, 100)
        points.append((update, 50 - epoch + (rises.get(epoch + 1, 1.0) if place < 10 and epoch else 0)))
    return curve(*points)


def test_jumps_at_the_start_of_epochs_are_what_the_text_does_not_explain() -> None:
    found = find_jumps(rising({4: 13.0, 6: 5.0}), 100)
    # From the last point of an epoch to the first of the next, S falls by 1 as well.
    assert found["typical"] == 0.0
    assert [(each["epoch"], each["from"], each["to"], each["at"]) for each in found["jumps"]] == [
        (4, 48.0, 60.0, 310),
        (6, 46.0, 50.0, 510),
    ]
    assert [each["rise"] for each in found["jumps"]] == [12.0, 4.0]
    assert find_jumps(rising({}), 100)["jumps"] == []
    assert find_jumps(curve((1, 100.0), (150, 60.0), (250, 90.0)), 100) == {"typical": None, "jumps": []}


@pytest.mark.usefixtures("_one_experiment")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 1, "long_epochs": 1}, r"cannot report 1 epochs in total: .* at epoch 2; use long_epochs=2$"),
        ({"engine": "numpy"}, r"cannot change engine of a report \(run: numba, given: numpy\): choose another out$"),
        ({"seed": 3}, "cannot change seed"),
    ],
)
def test_a_finished_report_is_not_rewritten_as_another(
    corpus: Corpus, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    phases = SMALL | {"epochs": 1, "long_epochs": 2, "out": tmp_path}
    report(corpus, **phases)
    before = (tmp_path / "report.md").read_bytes()
    with pytest.raises(ElmanError, match=message):
        report(corpus, resume=True, **phases | options)
    assert (tmp_path / "report.md").read_bytes() == before


@pytest.mark.usefixtures("_one_experiment")
@pytest.mark.parametrize(
    "change", [{"cell": "gru"}, {"seed": 9}, {"layers": 2}, {"text": TEXT.replace("rain", "snow")}]
)
def test_gradient_checks_of_two_experiments_are_not_mixed(
    corpus: Corpus, tmp_path: Path, change: dict[str, Any]
) -> None:
    phases = SMALL | {"epochs": 1, "long_epochs": 1, "out": tmp_path}
    assert report(corpus, callback=Stopper(checks=1), **phases) is None
    other = Corpus.from_text(change.pop("text", TEXT), "anna")
    with pytest.raises(ElmanError, match="has another text, network or seed: choose another out"):
        report(other, resume=True, **phases | change)
    assert report(corpus, resume=True, **phases) is not None


def test_a_stopped_report_says_how_to_resume(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "elman.apps.report.report", lambda corpus, **options: calls.append({"corpus": corpus} | options)
    )
    options = "--epochs 1 --long-epochs 2 --seeds 2 --mixed-precision --encoding latin-1 --min-count 5"
    stopped = command("report", "novel.txt", "-o", "my report", *options.split(), "-q")
    again = f"elman report novel.txt --out 'my report' {options} --resume"
    assert stopped == (130, "", f"stopped and saved; resume with: {again}\n")
    assert command(*shlex.split(again)[1:], "-q") == stopped
    before, after = ({name: call[name] for name in call if name != "callback"} for call in calls)
    assert after == before | {"resume": True}
