"""The dashboard without a browser: recording a training, reading a directory, responses, serving during training."""

import math
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import numpy as np
import pytest

from elman.apps.dashboard import runs as dashboard_runs
from elman.apps.dashboard import server as dashboard
from elman.apps.dashboard.history import MAX_SAMPLES
from elman.apps.dashboard.runs import DashboardRun, LiveRun, RunSource
from elman.apps.dashboard.server import create_dashboard, open_browser, serve_dashboard
from elman.apps.serve.responses import dump_json
from elman.config import Config
from elman.errors import ElmanError
from elman.runs.directory import METRICS, SAMPLES, RunDirectory
from elman.text import Corpus
from elman.training.callbacks import CallbackList, TrainingCallback
from elman.training.run import Run
from support.corrupt_files import corrupt_file, error_message, good_files
from support.server import error_of, listening
from support.state import TEXT
from support.training import EXACT, StopsAt, assert_same, train

OPTIONS: dict[str, Any] = EXACT | {"epochs": 4, "validation": 0.2, "validate_every": 9}


@pytest.fixture(autouse=True)
def no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all intervals to zero, so that nothing depends on the clock."""
    monkeypatch.setattr(dashboard_runs, "POINT_SECONDS", 0.0)
    monkeypatch.setattr(dashboard_runs, "HISTOGRAM_FRACTION", math.inf)
    monkeypatch.setenv("ELMAN_NO_BROWSER", "1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "novel"
    train(Corpus.from_text(TEXT), **OPTIONS, out=out)
    return out


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "novel"))


class CallsAt(TrainingCallback):
    def __init__(self, update: int, function: Callable[[], object]) -> None:
        self.update, self.function = update, function

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update == self.update:
            self.function()


def trained(corpus: Corpus, *others: TrainingCallback, **options: Any) -> tuple[LiveRun, Run]:
    live = options.pop("live", None) or LiveRun("novel")
    run = train(corpus, **OPTIONS | options, callback=CallbackList(*others, live))
    live.finish(run)
    return live, run


def curve(source: RunSource, name: str = "train_loss") -> dict[int, float]:
    found = source.history.as_dict()[name]
    return dict(zip(found["update"], found["value"], strict=True))


def train_losses(run: Run) -> dict[int, float]:
    return {row.update: row.train_loss for row in run.metrics}


def samples(source: RunSource) -> list[tuple[int, str, bool]]:
    """Return update and text of every sample, and whether it was requested."""
    return [(each["update"], each["text"], each["requested"]) for each in source.history.samples]


# --- A run in training ---


def test_curves_status_and_samples_are_those_of_the_run(corpus: Corpus) -> None:
    live, run = trained(corpus)
    found, expected = curve(live), train_losses(run)
    assert {update: found[update] for update in expected} == pytest.approx(expected, rel=1e-5)
    validated = {row.update: row.validation_loss for row in run.metrics if row.validation_loss is not None}
    assert curve(live, "validation_loss") == pytest.approx(validated, rel=1e-5)
    assert samples(live) == [(sample.update, sample.text, False) for sample in run.samples]
    status = live.status()
    assert (status["stage"], status["ending"], status["warning"]) == ("done", run.advice, "")
    assert (status["update"], status["updates"], status["epoch"]) == (run.state.update, run.state.update, 4)
    assert status["train_loss"] == expected[run.state.update]
    assert run.best is not None
    assert status["best"] == (run.best.update, run.best.validation_loss)
    assert status["seconds_left"] == 0
    assert status["chars_per_second"] > 0
    assert live.about()["config"] == asdict(run.config)
    live, run = trained(corpus, metrics_every=1000, validation=0, validate_every=0, sample_every=5)
    rows = {row.update for row in run.metrics}
    between = {*range(5, run.state.update + 1, 5)} - rows
    assert between
    assert rows | between <= curve(live).keys()  # there are points between two rows


def test_before_the_first_update(corpus: Corpus) -> None:
    live = LiveRun("novel")
    assert live.status() == {"stage": "preparing", "ending": "", "warning": "", "sampling": False}
    assert (live.about(), live.histograms(), curve(live)) == ({}, [], {})
    version = live.history.version
    trained(corpus, live=live)
    assert live.history.version != version


def test_a_stopped_run_is_saved_as_an_interrupted_one(corpus: Corpus, tmp_path: Path) -> None:
    live = LiveRun("novel")
    trained(corpus, CallsAt(20, live.stop_requested.set), live=live, out=tmp_path / "stopped")
    interrupted = train(corpus, **OPTIONS, out=tmp_path / "interrupted", callback=StopsAt(20))
    assert live.status()["stage"] == "stopped"
    for file in (METRICS, SAMPLES):
        rows = [(tmp_path / out / file).read_text("utf-8").splitlines() for out in ("stopped", "interrupted")]
        assert [row.split(",")[:6] for row in rows[0]] == [row.split(",")[:6] for row in rows[1]]
    resumed = train(corpus, **OPTIONS, out=tmp_path / "stopped", resume=True)
    assert interrupted.interrupted
    assert_same(resumed, train(corpus, **OPTIONS))


def test_a_requested_sample_does_not_change_the_run(corpus: Corpus) -> None:
    live = LiveRun("novel")
    requests = (CallsAt(update, live.sample_requested.set) for update in (10, 17, 18))
    _, run = trained(corpus, *requests, live=live)
    assert_same(run, train(corpus, **OPTIONS))
    requested = [(update, text) for update, text, is_requested in samples(live) if is_requested]
    assert [update for update, _ in requested] == [10, 18]  # the loop does not stop at 17
    assert all(len(text) == OPTIONS["sample_length"] for _, text in requested)
    assert not live.status()["sampling"]
    for _ in range(MAX_SAMPLES):
        live.sample_requested.set()
        live.on_progress(run, run.state.update)
    assert len({text for _, text, _ in samples(live)[-2:]}) == 2  # also two of one update differ
    sent = live.history.as_dict()["samples"]
    assert (len(sent["latest"]), sent["count"]) == (MAX_SAMPLES, len(live.history.samples))
    assert sent["latest"][-1] == live.history.samples[-1]


def test_a_resumed_run_is_shown_from_its_beginning(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(25))
    live, run = trained(corpus, out=tmp_path, resume=True)
    assert {row.update for row in run.metrics} <= curve(live).keys()
    assert samples(live) == [(sample.update, sample.text, False) for sample in run.samples]
    live, run = trained(corpus, out=tmp_path, resume=True)  # it is finished
    assert live.status()["update"] == run.state.update
    assert [*curve(live)] == [row.update for row in run.metrics]


def test_histograms_cost_little(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    live, found = LiveRun("novel"), list[Any]()
    trained(corpus, CallsAt(14, lambda: found.append(live.histograms())), live=live)
    assert [each["name"] for each in found[0]] == ["U", "W", "V", "b", "c", "h"]
    last = live.histograms()
    assert found[0] != last
    monkeypatch.setattr(dashboard_runs, "HISTOGRAM_FRACTION", 1e-9)
    live.histograms()
    monkeypatch.setattr(dashboard_runs, "compute_histograms", lambda *_: 1 / 0)
    assert live.histograms() == last  # they were computed too recently


# --- A run in a directory ---


def test_a_directory_is_shown_as_the_training_was(corpus: Corpus, tmp_path: Path) -> None:
    live, run = trained(corpus, out=tmp_path / "novel")
    saved = DashboardRun(tmp_path / "novel")
    assert (saved.name, saved.about()) == ("novel", live.about())
    assert saved.about()["corpus"] == {
        "name": run.corpus.name,
        "chars": len(TEXT),
        "alphabet_size": len(set(TEXT)),
        "sha256": run.corpus.sha256,
    }
    rows = {row.update for row in run.metrics}
    assert curve(saved) == {update: loss for update, loss in curve(live).items() if update in rows}
    assert curve(saved, "validation_loss") == curve(live, "validation_loss")
    assert samples(saved) == samples(live)
    status = saved.status()
    assert (status["stage"], status["update"], status["best"]) == ("saved", run.state.update, live.status()["best"])
    assert saved.histograms() == live.histograms()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cell": "gru", "layers": 2, "hidden_size": 5}, "GRU, hidden size 5, 2 layers"),
        ({"hidden_size": 0, "ngram_order": 5}, "N-gram counts of order 5"),
    ],
)
def test_the_network_is_described_in_words(settings: dict[str, Any], words: str) -> None:
    assert dashboard_runs.describe_network(Config(**settings)) == words


def test_what_is_added_is_read(corpus: Corpus, directory: Path) -> None:
    saved, path = DashboardRun(directory), directory / METRICS
    before, version = curve(saved), saved.history.version
    assert saved.history.version == version
    with path.open("a", encoding="utf-8") as file:
        file.write("1000,9,12.5,13.5,12.5,,7.0,20,0")
    assert curve(saved) == before  # the line is incomplete
    with path.open("a", encoding="utf-8") as file:
        file.write("0.5\n")
    assert curve(saved) == before  # no checkpoint covers it
    train(corpus, **OPTIONS | {"epochs": 6}, out=directory, resume=True)
    assert [*curve(saved)][-1] > [*before][-1]
    assert [*curve(saved)] == [row.update for row in RunDirectory(directory).metrics()]
    assert saved.about()["config"]["epochs"] == 6
    assert saved.history.version != version


def test_files_that_cannot_be_read_leave_what_was_read(directory: Path) -> None:
    saved, path = DashboardRun(directory), directory / METRICS
    before = curve(saved)
    path.rename(directory / "elsewhere")
    (directory / "checkpoint.safetensors").unlink()
    assert curve(saved) == before
    assert "cannot be read at the moment" in saved.status()["warning"]
    assert saved.histograms() == []
    metrics = (directory / "elsewhere").read_text("utf-8")
    path.write_text(metrics.replace("\n", "\nodd\n", 1), encoding="utf-8")
    assert "fields" in saved.status()["warning"]
    path.write_text(metrics, encoding="utf-8")
    assert saved.status()["warning"] == ""
    assert curve(saved) == before


def test_a_directory_without_a_row_or_a_run(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path / "novel", callback=StopsAt(1))
    metrics = (tmp_path / "novel" / METRICS).read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "novel" / METRICS).write_text(metrics[0], encoding="utf-8")
    assert DashboardRun(tmp_path / "novel").status()["update"] == 0
    with pytest.raises(ElmanError, match="pass a run directory"):
        DashboardRun(tmp_path)


# --- Responses ---


@pytest.fixture(scope="module")
def client(finished: Path) -> Iterator[httpx.Client]:
    live, _ = trained(Corpus.from_text(TEXT))
    with listening(create_dashboard([live, DashboardRun(finished)], live)) as client:
        yield client


def test_the_runs_and_their_data(client: httpx.Client) -> None:
    runs = [{"name": "novel", "live": True}, {"name": "novel", "live": False}]
    assert client.get("/api/runs").json() == {"runs": runs}
    found = client.get("/api/runs/1").json()
    assert [*found] == ["version", "status", "about", "train_loss", "validation_loss", "samples"]
    assert len(found["train_loss"]["update"]) > 2
    unchanged = client.get("/api/runs/1", params={"version": found["version"]}).json()
    assert unchanged == {name: found[name] for name in ("version", "status")}
    assert client.get("/api/runs/1", params={"version": "old"}).json() == found
    assert [each["name"] for each in client.get("/api/runs/1/histograms").json()["histograms"]][-1] == "h"


def test_invalid_requests(client: httpx.Client, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("2", "-1", "x", "9" * 401, "9" * 5000, "٣"):
        for path in (f"/api/runs/{number}", f"/api/runs/{number}/histograms"):
            assert len(error_of(client.get(path), 404, "no_such_run")["message"]) < 200
    error_of(client.get("/static/../__init__.py"), 404, "not_found")
    error_of(client.get("/api/stop"), 405, "method_not_allowed")
    with listening(create_dashboard([DashboardRun(directory)])) as client:
        for request in (("POST", "/api/stop"), ("POST", "/api/sample"), ("GET", "/api/end")):
            error_of(client.request(*request, json={}), 409, "not_live")
        monkeypatch.setattr(DashboardRun, "status", lambda _: 1 / 0)
        response = client.get("/api/runs/0")
    error_of(response, 500, "internal_error")
    assert "content-security-policy" in response.headers


def test_commands_are_accepted_from_the_page_only() -> None:
    live = LiveRun("novel")
    with listening(create_dashboard([live], live)) as client:
        foreign = client.post("/api/stop", json={}, headers={"origin": "https://evil.example"})
        rebound = client.post("/api/stop", json={}, headers={"host": "evil.example"})
        form = client.post("/api/stop", data={"a": "b"})
        assert [response.status_code for response in (foreign, rebound, form)] == [403, 403, 415]
        assert not live.stop_requested.is_set()
        assert client.post("/api/stop", json={}).json() == {"requested": True}
        assert client.post("/api/sample", json={}).json() == {"requested": True}
    assert live.stop_requested.is_set()
    assert live.status()["sampling"]


# --- Serving during training ---


class Subscriber(threading.Thread):
    """A client that waits for the end event, and then takes its time to fetch the last data."""

    def __init__(self, address: str, seconds: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.address, self.seconds = address, seconds
        self.waits, self.received = threading.Event(), dict[str, Any]()
        self.start()
        assert self.waits.wait(60)

    def run(self) -> None:
        with httpx.stream("GET", f"{self.address}/api/end", timeout=None) as response:
            for line in response.iter_lines():
                self.waits.set()
                if line == "data: over":
                    time.sleep(self.seconds)
                    self.received = httpx.get(f"{self.address}/api/runs/0").json()
                    break


def test_the_server_waits_until_every_page_has_the_last_data(corpus: Corpus) -> None:
    with serve_dashboard("novel", 0, []) as (live, address):
        with httpx.stream("GET", f"{address}/api/end") as response:
            next(response.iter_lines())  # a page that is closed does not count
        subscribers = [Subscriber(address, seconds) for seconds in (0.0, 0.4)]
        run = train(corpus, **OPTIONS, callback=live)
        live.finish(run)
    for subscriber in subscribers:
        subscriber.join(60)
        assert subscriber.received["status"]["stage"] == "done"
        assert subscriber.received["train_loss"]["update"][-1] == run.state.update


def test_the_server_does_not_wait_for_ever(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dashboard, "CLOSE_TIMEOUT", 0.2)
    with serve_dashboard("novel", 0, []) as (live, address), httpx.stream("GET", f"{address}/api/end") as response:
        lines = response.iter_lines()
        assert next(lines) == ":"
        live.finish(train(corpus, **OPTIONS, callback=live))
        live.close(0.2)
        assert [*lines] == ["", "data: over", ""]
    with serve_dashboard("novel", 0, []) as (live, _):
        monkeypatch.setattr(live, "close", interrupted)
        live.finish(train(corpus, **OPTIONS, callback=live))


def test_pages_are_told_of_an_error_and_a_warning() -> None:
    def fail() -> None:
        with serve_dashboard("novel", 0, []) as (live, address):
            live.on_warning("the hidden layer is dead")
            subscribers.append(Subscriber(address))
            raise ElmanError("an error of a test")

    subscribers: list[Subscriber] = []
    with pytest.raises(ElmanError, match="an error of a test"):
        fail()
    subscribers[0].join(60)
    status = subscribers[0].received["status"]
    assert (status["stage"], status["ending"]) == ("failed", "an error of a test")
    assert status["warning"] == "the hidden layer is dead"


def test_what_cannot_be_served(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_dashboard("novel", 0, []) as (_, address):
        port = int(address.rpartition(":")[2])
        with pytest.raises(ElmanError, match=f"port {port} .* live_port=0"), serve_dashboard("other", port, []):
            pass
    monkeypatch.setattr(dashboard, "find_spec", lambda _: None)
    with pytest.raises(ElmanError, match=r"elman\[serve\]"):
        create_dashboard([DashboardRun(directory)])


def test_a_browser_is_opened_if_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, names = SimpleQueue[str](), ("DISPLAY", "WAYLAND_DISPLAY", "ELMAN_NO_BROWSER")
    monkeypatch.setattr("webbrowser.open", opened.put)
    monkeypatch.setattr("sys.platform", "linux")
    for n, values in enumerate(((":0", "", ""), ("", "wayland-0", ""), ("", "", ""), (":0", "", "1"))):
        for name, value in zip(names, values, strict=True):
            monkeypatch.setenv(name, value)
        open_browser(f"http://127.0.0.1:{n}")
    assert {opened.get(timeout=60) for _ in range(2)} == {"http://127.0.0.1:0", "http://127.0.0.1:1"}
    assert opened.empty()


def test_a_corrupt_run_is_shown_or_rejected_in_one_line(tmp_path: Path) -> None:
    good = [(path, path.read_bytes()) for path in good_files(tmp_path / "good")]
    for seed in range(120):
        rng = random.Random(seed)
        path, data = rng.choice(good)
        folder = Path(shutil.copytree(path.parent, tmp_path / str(seed)))
        corrupt_file(path, data, rng, folder / path.name)

        def show(folder: Path = folder) -> None:
            run = DashboardRun(folder)
            dump_json([run.about(), run.history.as_dict(), run.status(), run.histograms()])

        with np.errstate(all="ignore"):
            error_message(show)
