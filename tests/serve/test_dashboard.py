"""The dashboard without a browser: recording a training, reading a directory, responses."""

import json
import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from elman.errors import ElmanError
from elman.runs.directory import METRICS, SAMPLES, RunDirectory
from elman.runs.run import Run
from elman.serve import dashboard, dashboard_run
from elman.serve import live_run as live_module
from elman.serve.dashboard import create_dashboard, open_browser, serve_dashboard
from elman.serve.dashboard_run import DashboardRun
from elman.serve.history import MAX_SAMPLES, ClientCursor, RunSource
from elman.serve.live_run import MAX_SUBSCRIBERS, LiveRun
from elman.storage.atomic import replace_file
from elman.text import Corpus
from elman.training.callbacks import CallbackList, TrainingCallback
from elman.web import STATIC_FILES
from support.server import listening
from support.state import TEXT
from support.training import EXACT, StopsAt, assert_same, train

OPTIONS: dict[str, Any] = EXACT | {"epochs": 4, "validation": 0.2, "validate_every": 9}
NOTHING = ClientCursor()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all intervals to zero, so that nothing depends on the clock."""
    monkeypatch.setattr(live_module, "POINT_SECONDS", 0.0)
    monkeypatch.setattr(live_module, "HISTOGRAM_SECONDS", 0.0)
    monkeypatch.setattr(live_module, "HISTOGRAM_FRACTION", math.inf)
    monkeypatch.setattr(dashboard_run, "REFRESH_SECONDS", 0.0)
    monkeypatch.setenv("ELMAN_NO_BROWSER", "1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run, read only."""
    out = tmp_path_factory.mktemp("runs") / "novel"
    train(Corpus.from_text(TEXT), **OPTIONS, out=out)
    return out


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    """A copy of the directory of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "novel"))


class Asks(TrainingCallback):
    """Calls a function after so many updates."""

    def __init__(self, update: int, does: Callable[[], object]) -> None:
        self.update, self.does = update, does

    def on_progress(self, run: Run, updates: int) -> None:
        if run.state.update == self.update:
            self.does()


def trained(corpus: Corpus, *others: TrainingCallback, **options: Any) -> tuple[LiveRun, Run]:
    """Train, and return the dashboard's source and the run."""
    live = options.pop("live", None) or LiveRun("novel")
    run = train(corpus, **OPTIONS | options, callback=CallbackList(*others, live))
    live.finish(run)
    return live, run


def losses(shown: RunSource) -> dict[int, float]:
    told = shown.history.since(NOTHING)["smooth_loss"]
    return dict(zip(told["update"], told["value"], strict=True))


def scores(shown: RunSource) -> dict[int, float]:
    told = shown.history.since(NOTHING)["validation_loss"]
    return dict(zip(told["update"], told["value"], strict=True))


def texts(shown: RunSource) -> list[tuple[int, str, bool]]:
    new = shown.history.since(NOTHING)["samples"]["new"]
    return [(told["update"], told["text"], told["requested"]) for told in new]


def asked(shown: RunSource) -> list[str]:
    return [text for _, text, asked in texts(shown) if asked]


# --- A run in training ---


def test_the_curves_are_those_of_the_run(corpus: Corpus) -> None:
    live, run = trained(corpus)
    told = losses(live)
    assert {row.update for row in run.metrics} <= told.keys()
    rows = {row.update: row.smooth_loss for row in run.metrics}
    assert {update: told[update] for update in rows} == pytest.approx(rows, rel=1e-5)
    expected = {row.update: row.validation_loss for row in run.metrics if row.validation_loss is not None}
    assert scores(live) == pytest.approx(expected, rel=1e-5)
    assert texts(live) == [(sample.update, sample.text, False) for sample in run.samples]


def test_between_the_rows_there_are_points(corpus: Corpus) -> None:
    live, run = trained(corpus, metrics_every=1000, validation=0, validate_every=0, sample_every=5)
    assert len(run.metrics) == 1
    assert set(range(5, run.state.update + 1, 5)) <= losses(live).keys()


def test_the_status_is_that_of_the_run(corpus: Corpus) -> None:
    live, run = trained(corpus)
    status = live.status()
    assert (status["stage"], status["ending"], status["warning"]) == ("done", run.advice, "")
    assert (status["update"], status["updates"], status["epoch"]) == (run.state.update, run.state.update, 4)
    assert status["minimum"] == [run.state.minimum_at, run.state.minimum_smooth_loss]
    assert run.best is not None
    assert status["best"] == (run.best.update, run.best.validation_loss)
    assert status["seconds_left"] == 0
    assert status["chars_per_second"] > 0
    assert live.about()["config"] == run.config.as_dict()


def test_before_the_first_update_it_is_preparing() -> None:
    live = LiveRun("novel")
    assert live.status() == {"stage": "preparing", "ending": "", "warning": "", "sampling": False}
    assert (live.about(), live.histograms(), losses(live)) == ({}, [], {})


def test_stop_ends_a_run_as_an_interrupt_does(corpus: Corpus, tmp_path: Path) -> None:
    live = LiveRun("novel")
    trained(corpus, Asks(20, live.stop_requested.set), live=live, out=tmp_path / "stopped")
    interrupted = train(corpus, **OPTIONS, out=tmp_path / "interrupted", callback=StopsAt(20))
    assert live.status()["stage"] == "stopped"
    for file in (METRICS, SAMPLES):
        rows = [(tmp_path / out / file).read_text("utf-8").splitlines() for out in ("stopped", "interrupted")]
        assert [row.split(",")[:4] for row in rows[0]] == [row.split(",")[:4] for row in rows[1]]
    gone_on = train(corpus, **OPTIONS, out=tmp_path / "stopped", resume=True)
    assert interrupted.interrupted
    assert_same(gone_on, train(corpus, **OPTIONS))


def test_a_text_asked_for_does_not_change_the_run(corpus: Corpus) -> None:
    live = LiveRun("novel")
    requests = (Asks(update, live.sample_requested.set) for update in (10, 13, 14))
    _, run = trained(corpus, *requests, live=live)
    assert_same(run, train(corpus, **OPTIONS))
    assert [update for update, _, asked in texts(live) if asked] == [10, 14]  # 13 is not stopped at
    assert all(len(text) == OPTIONS["sample_length"] for text in asked(live))
    assert not live.status()["sampling"]


def test_texts_asked_for_at_one_update_differ(corpus: Corpus) -> None:
    live = LiveRun("novel")
    train(corpus, **OPTIONS | {"max_updates": 10}, callback=live)
    run = live._run
    assert run is not None
    for _ in range(2):
        live.sample_requested.set()
        live.on_progress(run, 10)
    assert len(set(asked(live))) == 2


def test_a_run_that_goes_on_is_shown_from_its_beginning(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path, callback=StopsAt(25))
    live, run = trained(corpus, out=tmp_path, resume=True)
    assert {row.update for row in run.metrics} <= losses(live).keys()
    assert texts(live) == [(sample.update, sample.text, False) for sample in run.samples]


def test_a_page_forgets_what_it_knew_of_the_preparation(corpus: Corpus) -> None:
    live = LiveRun("novel")
    before = live.history.since(NOTHING)["session"]
    trained(corpus, live=live)
    assert live.history.since(NOTHING)["session"] != before


def test_weights_are_looked_at_while_a_page_shows_them(corpus: Corpus) -> None:
    live, looks = LiveRun("novel"), list[Any]()
    trained(corpus, Asks(14, live.histograms), Asks(28, lambda: looks.append(live.histograms())), live=live)
    assert [each["name"] for each in looks[0]] == ["U", "W", "V", "b", "c", "h"]
    assert looks[0] != live.histograms()  # those of the end


def test_weights_are_not_looked_at_where_no_page_asks(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nobody asked")

    monkeypatch.setattr(live_module, "compute_histograms", refuse)
    train(corpus, **OPTIONS, callback=LiveRun("novel"))


def test_a_warning_and_an_error_are_told(corpus: Corpus) -> None:
    live = LiveRun("novel")
    live.on_warning("at update 5 the hidden layer is dead")
    live.finish(None, "the loss of update 7 is not finite")
    status = live.status()
    assert (status["stage"], status["ending"]) == ("failed", "the loss of update 7 is not finite")
    assert status["warning"] == "at update 5 the hidden layer is dead"


def test_a_finished_run_that_goes_on_is_shown_at_once(corpus: Corpus, directory: Path) -> None:
    live, run = trained(corpus, out=directory, resume=True)
    assert live.status()["update"] == run.state.update
    assert [*losses(live)] == [row.update for row in run.metrics]


# --- A run in a directory ---


def test_a_directory_is_shown_as_the_training_was(corpus: Corpus, tmp_path: Path) -> None:
    live, run = trained(corpus, out=tmp_path / "novel")
    kept = DashboardRun(tmp_path / "novel")
    assert (kept.name, kept.about()["config"]) == ("novel", run.config.as_dict())
    rows = {row.update for row in run.metrics}
    assert losses(kept) == {update: loss for update, loss in losses(live).items() if update in rows}
    assert scores(kept) == scores(live)
    assert texts(kept) == texts(live)
    status = kept.status()
    assert (status["stage"], status["update"], status["best"]) == ("saved", run.state.update, live.status()["best"])
    parameters = [each for each in kept.histograms() if each["name"] != "h"]
    assert parameters == [each for each in live.histograms() if each["name"] != "h"]


def test_lines_that_are_added_are_read_and_half_a_line_is_left(directory: Path) -> None:
    kept, path = DashboardRun(directory), directory / METRICS
    before = losses(kept)
    with path.open("a", encoding="utf-8") as file:
        file.write("1000,9,12.5,13.5,,7.0,20")
    assert losses(kept) == before
    with path.open("a", encoding="utf-8") as file:
        file.write("0.5\n")
    assert losses(kept) == before | {1000: 12.5}
    assert kept.status()["update"] == 1000


def test_a_run_that_went_back_is_read_anew(corpus: Corpus, directory: Path) -> None:
    kept = DashboardRun(directory)
    before = kept.history.session
    train(corpus, **OPTIONS | {"epochs": 6}, out=directory, resume=True)
    assert kept.history.session != before
    assert [*losses(kept)] == [row.update for row in RunDirectory(directory).metrics()]
    assert kept.about()["config"]["epochs"] == 6


def test_files_that_vanish_leave_what_was_read(directory: Path) -> None:
    kept = DashboardRun(directory)
    before = losses(kept)
    (directory / METRICS).rename(directory / "elsewhere")
    (directory / "checkpoint.safetensors").unlink()
    assert losses(kept) == before
    assert "cannot be read at the moment" in kept.status()["warning"]
    assert kept.status()["written"] is None
    assert kept.histograms() == []
    (directory / "elsewhere").rename(directory / METRICS)
    assert kept.status()["warning"] == ""


def test_damaged_lines_are_said(directory: Path) -> None:
    kept = DashboardRun(directory)
    with (directory / METRICS).open("a", encoding="utf-8") as file:
        file.write("1000,nine\n")
    assert "fields" in kept.status()["warning"]
    with (directory / METRICS).open("a", encoding="utf-8") as file:
        file.write("1100,9,12.5,13.5,,7.0,20\n")
    assert "fields" in kept.status()["warning"]  # as long as it is there, as what follows is not shown
    good = (directory / METRICS).read_text("utf-8").replace("1000,nine\n", "")
    replace_file(directory / METRICS, good.encode())
    assert (kept.status()["warning"], kept.status()["update"]) == ("", 1100)


def test_a_damaged_beginning_is_read_once_it_is_mended(directory: Path) -> None:
    kept, metrics = DashboardRun(directory), (directory / METRICS).read_text("utf-8")
    (directory / METRICS).write_text(metrics.replace("\n", "\nodd\n", 1), encoding="utf-8")
    assert "fields" in kept.status()["warning"]
    (directory / METRICS).write_text(metrics, encoding="utf-8")
    assert kept.status()["warning"] == ""
    assert [*losses(kept)] == [row.update for row in RunDirectory(directory).metrics()]


def test_a_run_before_its_first_row_is_shown(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, **OPTIONS, out=tmp_path / "novel", callback=StopsAt(1))
    metrics = (tmp_path / "novel" / METRICS).read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "novel" / METRICS).write_text(metrics[0], encoding="utf-8")
    assert DashboardRun(tmp_path / "novel").status()["update"] == 0


@pytest.mark.parametrize("damaged", ['{"corpus": {}}', '{"corpus": {"name": 5, "chars": 1}}', '{"corpus": 7}'])
def test_a_directory_whose_text_is_not_said_is_refused(directory: Path, damaged: str) -> None:
    described = json.loads((directory / "run.json").read_text("utf-8"))
    described["corpus"] = json.loads(damaged)["corpus"]
    if isinstance(described["corpus"], dict):
        described["corpus"]["sha256"] = "0" * 64
    (directory / "run.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ElmanError, match=r"run\.json"):
        DashboardRun(directory)


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ElmanError, match="pass a run directory"):
        DashboardRun(tmp_path)


# --- Responses ---


@pytest.fixture(scope="module")
def client(finished: Path) -> Iterator[httpx.Client]:
    """A client of the dashboard of a run that has ended, and of a stored one."""
    live, _ = trained(Corpus.from_text(TEXT))
    with listening(create_dashboard([live, DashboardRun(finished)], live)) as client:
        yield client


def test_everything_that_the_page_refers_to_exists(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    files = re.findall(r'="(/static/[^"]+)"', page.text)
    assert "/static/plotly.min.js" in files
    for path in files:
        assert client.get(path).status_code == 200
    for module in (STATIC_FILES / "dashboard").glob("*.js"):
        for imported in re.findall(r'^import .* from "([^"]+)";$', module.read_text("utf-8"), re.MULTILINE):
            assert (module.parent / imported).is_file(), (module, imported)


def test_the_policy_allows_only_what_the_server_sends(client: httpx.Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_runs_and_what_is_new_of_them(client: httpx.Client) -> None:
    assert client.get("/api/runs").json() == {
        "runs": [{"name": "novel", "live": True}, {"name": "novel", "live": False}]
    }
    whole = client.get("/api/runs/1").json()
    assert whole["smooth_loss"]["count"] == len(whole["smooth_loss"]["update"]) > 2
    known = {"session": whole["session"]} | {name: whole[name]["count"] for name in ("smooth_loss", "samples")}
    later = client.get("/api/runs/1", params=known).json()
    assert later["smooth_loss"]["update"] == []
    assert later["samples"] == {"count": whole["samples"]["count"], "new": []}
    assert "about" not in later
    part = client.get("/api/runs/0/between", params={"first": 8, "last": 20}).json()
    assert 7 in part["smooth_loss"]["update"]
    assert [each["name"] for each in client.get("/api/runs/1/histograms").json()["histograms"]][-1] == "h"


def test_of_very_many_texts_the_last_are_told(corpus: Corpus) -> None:
    live, _ = trained(corpus, epochs=40, sample_every=1)
    told = live.history.since(NOTHING)["samples"]
    assert (len(told["new"]), told["count"]) == (MAX_SAMPLES, len(live.history.samples))
    assert told["new"][-1]["text"] == live.history.samples[-1].sample.text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/runs/2", 404, "no_such_run"),
        ("/api/runs/01", 404, "no_such_run"),
        ("/api/runs/-1", 404, "no_such_run"),
        ("/api/runs/0?smooth_loss=x", 400, "invalid_number"),
        ("/api/runs/0?smooth_loss=-1", 400, "invalid_number"),
        (f"/api/runs/0?smooth_loss={2**70}", 400, "invalid_number"),
        ("/api/runs/0/between", 400, "invalid_number"),
        ("/api/runs/0/between?first=1&last=1e3", 400, "invalid_number"),
        ("/static/../live.py", 404, "not_found"),
        ("/static/%2e%2e/live.py", 404, "not_found"),
        ("/static/", 404, "not_found"),
        ("/api/stop", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_refused(client: httpx.Client, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("name", ["stop", "sample"])
def test_only_a_run_in_training_takes_commands(directory: Path, name: str) -> None:
    with listening(create_dashboard([DashboardRun(directory)])) as client:
        answer = client.post(f"/api/{name}", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_live")


def test_the_end_of_a_training_can_be_waited_for_where_there_is_one(directory: Path) -> None:
    with listening(create_dashboard([DashboardRun(directory)])) as client:
        answer = client.get("/api/end")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_live")


def test_commands_come_from_the_page_alone(corpus: Corpus) -> None:
    live = LiveRun("novel")
    with listening(create_dashboard([live], live)) as client:
        foreign = client.post("/api/stop", json={}, headers={"origin": "https://evil.example"})
        rebound = client.post("/api/stop", json={}, headers={"host": "evil.example"})
        form = client.post("/api/stop", data={"a": "b"})
        assert [answer.status_code for answer in (foreign, rebound, form)] == [403, 403, 415]
        assert not live.stop_requested.is_set()
        assert client.post("/api/stop", json={}).json() == {"requested": True}
        assert client.post("/api/sample", json={}).json() == {"requested": True}
    assert live.stop_requested.is_set()
    assert live.status()["sampling"]


def test_a_fault_of_the_server_is_said_in_its_shape(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("of a test")

    monkeypatch.setattr(DashboardRun, "status", broken)
    with listening(create_dashboard([DashboardRun(directory)])) as client:
        answer = client.get("/api/runs/0")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "content-security-policy" in answer.headers


def test_without_plotly_it_says_what_to_install(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda _: None)
    with pytest.raises(ElmanError, match=r"elman\[serve\]"):
        create_dashboard([DashboardRun(directory)])


# --- Serving during training ---


class Visitor(threading.Thread):
    """A client that waits for the end event, and then takes its time."""

    def __init__(self, address: str, seconds: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.address, self.seconds = address, seconds
        self.waits, self.heard = threading.Event(), dict[str, Any]()
        self.start()
        assert self.waits.wait(60)

    def run(self) -> None:
        with httpx.stream("GET", f"{self.address}/api/end", timeout=None) as answer:
            for line in answer.iter_lines():
                self.waits.set()
                if line == "data: over":
                    time.sleep(self.seconds)
                    self.heard = httpx.get(f"{self.address}/api/runs/0").json()
                    break


def test_the_server_lasts_until_every_open_page_has_what_it_wants(corpus: Corpus) -> None:
    with serve_dashboard("novel", 0, []) as (live, address):
        visitors = [Visitor(address, seconds) for seconds in (0.0, 1.0)]
        assert live.end_event.has_subscribers
        run = train(corpus, **OPTIONS, callback=live)
        live.finish(run)
    for visitor in visitors:
        visitor.join(60)
        assert visitor.heard["status"]["stage"] == "done"
        assert visitor.heard["smooth_loss"]["update"][-1] == run.state.update


def test_a_page_that_does_not_leave_is_left(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "CLOSE_TIMEOUT", 0.5)
    with serve_dashboard("novel", 0, []) as (live, address), httpx.stream("GET", f"{address}/api/end") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ":"
        live.finish(train(corpus, **OPTIONS, callback=live))
        live.close(0.5)
        assert [*lines] == ["", "data: over", ""]
    assert not live.end_event.has_subscribers


def test_who_interrupts_the_end_event_loses_nothing(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with serve_dashboard("novel", 0, []) as (live, _):
        monkeypatch.setattr(live, "close", interrupted)
        run = train(corpus, **OPTIONS, callback=live)
        live.finish(run)
    assert run.results()["updates"] == run.state.update


def test_a_page_that_is_closed_is_not_waited_for() -> None:
    with serve_dashboard("novel", 0, []) as (live, address):
        with httpx.stream("GET", f"{address}/api/end") as answer:
            lines = answer.iter_lines()
            assert next(lines) == ":"
            assert live.end_event.has_subscribers
        deadline = time.monotonic() + 30
        while live.end_event.has_subscribers:
            assert time.monotonic() < deadline


def test_of_many_pages_the_latest_are_held_as_browsers_make_few_connections() -> None:
    with serve_dashboard("novel", 0, []) as (live, address):
        with httpx.stream("GET", f"{address}/api/end") as answer:
            lines = answer.iter_lines()
            assert next(lines) == ":"
            others = [Visitor(address) for _ in range(MAX_SUBSCRIBERS)]
            assert [*lines] == [""]
        live.finish(None, "of a test")
    for other in others:
        other.join()
        assert other.heard["status"]["stage"] == "failed"


def test_an_error_is_told_to_an_open_page() -> None:
    def fails() -> None:
        with serve_dashboard("novel", 0, []) as (_, address):
            visitors.append(Visitor(address))
            raise ElmanError("an error of a test")

    visitors: list[Visitor] = []
    with pytest.raises(ElmanError, match="an error of a test"):
        fails()
    visitors[0].join()
    status = visitors[0].heard["status"]
    assert (status["stage"], status["ending"]) == ("failed", "an error of a test")


def test_a_port_that_is_taken_is_refused_by_its_option(corpus: Corpus) -> None:
    with serve_dashboard("novel", 0, []) as (_, address):
        port = int(address.rpartition(":")[2])
        with pytest.raises(ElmanError, match=f"port {port} .* live_port=0"), serve_dashboard("other", port, []):
            pass


@pytest.mark.parametrize(
    ("environment", "opens"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({}, False),
        ({"DISPLAY": ":0", "ELMAN_NO_BROWSER": "1"}, False),
    ],
)
def test_a_browser_is_opened_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], opens: bool
) -> None:
    open_page, done = list[str](), threading.Event()

    def browser(address: str) -> None:
        open_page.append(address)
        done.set()

    monkeypatch.setattr("webbrowser.open", browser)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "ELMAN_NO_BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    open_browser("http://127.0.0.1:1")
    if opens:
        assert done.wait(60)
    assert open_page == ["http://127.0.0.1:1"] * opens


def test_watchers_are_all_told_and_each_may_stop(corpus: Corpus) -> None:
    told = list[str]()

    class Notes(TrainingCallback):
        def on_compile(self) -> None:
            told.append("preparing")

        def on_sample(self, sample: object) -> None:
            told.append("sampled")

        def on_warning(self, warning: str) -> None:
            told.append(warning)

    both = CallbackList(Notes(), Notes(), StopsAt(10))
    run = train(corpus, **OPTIONS, callback=both)
    both.on_warning("of a test")
    assert run.interrupted
    assert told.count("preparing") == told.count("of a test") == 2
    assert told.count("sampled") == 2 * len(run.samples)


def test_the_settings_shown_are_no_more_than_those_of_the_run(directory: Path) -> None:
    about, config = DashboardRun(directory).about(), RunDirectory(directory).manifest().config
    assert about["corpus"] == {"name": about["corpus"]["name"], "chars": len(TEXT), "alphabet_size": len(set(TEXT))}
    assert about["config"] == config.as_dict()
