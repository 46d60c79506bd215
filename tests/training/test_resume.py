"""A resumed run finds its text again, and says so in one line where it cannot."""

import json
import re
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest

import elman
from elman.errors import ElmanError
from elman.runs import texts
from elman.text import Corpus
from elman.training.run import Run
from support.state import TEXT
from support.training import EXACT, Listens, assert_same, assert_saved, contents, results_of

FIRST, SECOND = TEXT, TEXT[::-1]
OPTIONS: dict[str, Any] = EXACT | {"sample_every": 0}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a text of two files."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("corpus/1.txt", FIRST), ("corpus/2.txt", SECOND), ("corpus/noise", "\0" * 99)):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    return tmp_path


def resume(updates: int = 20, corpus: Any = None, **options: Any) -> Run:
    return elman.train(corpus, out="run", resume=True, max_updates=updates, **options)


def refused(**options: Any) -> str:
    """Return the line with which a run is not resumed; nothing is changed."""
    before = contents(Path("run"))
    with pytest.raises(ElmanError) as raised:
        resume(**options)
    assert contents(Path("run")) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_finds_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listens = Listens()
    elman.train("corpus", **OPTIONS, out="run", max_updates=10, callback=listens)
    size = f"{len(FIRST + SECOND)} characters, {len(set(FIRST + SECOND))} distinct"
    assert listens.notices == [f"training on corpus (2 files; 1 binary file skipped): {size}"]
    manifest = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert [file["path"] for file in manifest["corpus"]["files"]] == [str(folder / f"corpus/{n}.txt") for n in (1, 2)]
    assert manifest["preset"] == "reference"
    Path("corpus/3.txt").write_text("a file that was added later", encoding="utf-8")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    run = elman.train(out="../run", resume=True, max_updates=20)
    assert_same(run, elman.train(["../corpus/1.txt", "../corpus/2.txt"], **OPTIONS, max_updates=20))
    assert run.corpus.name == "corpus"
    after = json.loads(Path("../run/run.json").read_text(encoding="utf-8"))
    assert after["corpus"] == manifest["corpus"]


@pytest.mark.parametrize("keep_crlf", [False, True])
def test_line_ends_are_read_as_before(keep_crlf: bool) -> None:
    Path("crlf").write_bytes(f"{FIRST}\r\n{SECOND}".encode())
    elman.train("crlf", **OPTIONS, out="run", max_updates=10, keep_crlf=keep_crlf)
    changed = f"run: {keep_crlf}, given: {not keep_crlf}"
    assert f"cannot change keep_crlf on resume ({changed}); remove it" in refused(keep_crlf=not keep_crlf)
    assert_same(resume(), elman.train("crlf", **OPTIONS, max_updates=20, keep_crlf=keep_crlf))


def test_a_text_in_memory_is_found_in_its_file_with_its_carriage_returns() -> None:
    """Likewise the text of a run of version 0.3.0, which kept them without a setting."""
    text = f"{FIRST}\r\n{SECOND}"
    Path("crlf").write_bytes(text.encode())
    elman.train(Corpus.from_text(text), **OPTIONS, out="run", max_updates=10)
    assert resume(corpus="crlf").corpus.text == text


def test_a_text_that_is_gone_or_changed_is_named(folder: Path) -> None:
    elman.train("corpus", **OPTIONS, out="run", max_updates=10)
    second = Path("corpus/2.txt")
    second.write_text(SECOND + "more", encoding="utf-8")
    assert re.match(f"'{folder / second}' has changed since the run in 'run' was started ", refused())
    second.unlink()
    assert f"trained on '{folder / second}', which cannot be read (No such file or directory)" in refused()
    second.mkdir()
    assert "cannot be read (Is a directory)" in refused()
    assert resume(corpus=Corpus.from_text(FIRST + SECOND)).state.update == 20  # the hash is that of the joined files
    second.rmdir()
    second.write_text(SECOND, encoding="utf-8")
    assert resume(30).state.update == 30


@pytest.mark.parametrize(
    ("corpus", "words"),
    [(None, "standard input has changed since"), ("-", "…, but standard input has ")],
)
def test_another_text_in_a_pipe_is_named(corpus: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(text: str) -> None:
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))

    monkeypatch.setattr(texts, "has_piped_text", lambda: True)
    pipe(FIRST)
    elman.train("-", **OPTIONS, out="run", max_updates=10)
    pipe(SECOND)
    assert words in refused(corpus=corpus)


@pytest.mark.parametrize(
    ("corpus", "words"),
    [
        ({"files": []}, "does not record the file of its text: pass the text with resume=True"),
        ({"files": [{"path": "novel.txt", "sha256": "0" * 64}]}, "records a text without its directory ('novel.txt')"),
        ({"files": [{"path": 3}]}, "does not record the file of its text"),
        ({"files": [{"path": "-", "sha256": "0" * 64}]}, "was trained on standard input: pipe the text to it again"),
        ("none", "does not record the file of its text"),
    ],
)
def test_what_run_json_does_not_say(corpus: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "has_piped_text", lambda: False)
    elman.train("corpus/1.txt", **OPTIONS, out="run", max_updates=10)
    path = Path("run/run.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["corpus"] = manifest["corpus"] | corpus if isinstance(corpus, dict) else corpus
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert words in refused()
    assert resume(corpus="corpus/1.txt").state.update == 20


def test_a_preset_that_is_not_known() -> None:
    elman.train("corpus/1.txt", **OPTIONS, out="run", max_updates=10)
    path = Path("run/run.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"preset": "newer"}), encoding="utf-8")
    assert resume().preset == "newer"


@pytest.mark.parametrize(
    ("options", "limits", "stopped", "words"),
    [
        ({"max_updates": 9}, {}, "max_updates", "already at update 9; pass a higher max_updates (now 9)"),
        ({"max_updates": 9}, {"max_updates": 5}, "max_updates", "already at update 9; pass a higher max_updates"),
        ({"epochs": 1}, {}, "epochs", "already at epoch 1 (update 15); pass a higher epochs (now 1)"),
        ({"max_updates": 9}, {"max_seconds": 1e-9}, "max_seconds", "pass a higher max_seconds (now 1e-09)"),
        (
            {"validation": 0.25, "validate_every": 1, "patience": 2, "learning_rate": 5.0, "epochs": 100},
            {},
            "patience",
            "pass a higher patience (now 2)",
        ),
    ],
)  # fmt: skip
def test_a_finished_run_does_nothing(options: dict[str, Any], limits: dict[str, Any], stopped: str, words: str) -> None:
    expected = elman.train("corpus/1.txt", **OPTIONS | options, out="run")
    before, listens = contents(Path("run")), Listens()
    run = elman.train(out="run", resume=True, callback=listens, **limits)
    assert (run.was_finished, run.stopped, expected.was_finished) == (True, stopped, False)
    assert words in listens.notices[1] == run.advice
    assert contents(Path("run")) == before
    assert_saved(Path("run"), run)
    run.stopped = expected.stopped
    assert_same(run, expected)
    assert results_of(run) == results_of(expected) | {"advice": run.advice}


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_an_extended_schedule_is_explained(schedule: str) -> None:
    options = OPTIONS | {"schedule": schedule, "learning_rate": 0.1}
    elman.train("corpus/1.txt", **options, out="run", max_updates=10)
    listens = Listens()
    elman.train(out="run", resume=True, max_updates=20, callback=listens)
    rates = {"cosine": "from 0.00245 to 0.05", "step": "from 0.001 to 0.01", "constant": ""}[schedule]
    expected = f"ended at update 10 and now ends at update 20: the learning rate changes {rates} and"
    assert [expected in notice for notice in listens.notices[1:]] == ([] if schedule == "constant" else [True])


def test_a_validation_file_is_evaluated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("held.txt").write_text(TEXT[5:40], encoding="utf-8")
    options = OPTIONS | {"validate_every": 3, "max_updates": 10}
    run = elman.train("corpus/1.txt", **options, validation="held.txt", out="run")
    plain = elman.train("corpus/1.txt", **OPTIONS, max_updates=10)
    assert run.state.smooth_loss == plain.state.smooth_loss  # all of the text is trained on
    assert [row.update for row in run.metrics if row.validation_loss is not None] == [3, 6, 9, 10]
    assert elman.load("run/checkpoint.safetensors").score(TEXT) == plain.model.score(TEXT)
    assert run.validation_loss is not None
    if run.selected is not None and run.selected.update == 10:
        assert run.validation_loss == run.model.score(TEXT[5:40]).nats_per_char
    manifest = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    assert manifest["config"]["validation"] == str(folder / "held.txt")
    assert (manifest["validation"]["name"], manifest["validation"]["chars"]) == ("held.txt", 35)
    monkeypatch.chdir("corpus")
    listens = Listens()
    longer = elman.train(out="../run", resume=True, max_updates=20, callback=listens)
    assert listens.notices[0].endswith("; validation on held.txt: 35 characters")
    assert_same(longer, elman.train("1.txt", **options | {"max_updates": 20}, validation=Path("../held.txt")))
    monkeypatch.chdir("..")
    Path("held.txt").rename("moved.txt")
    assert f"'{folder / 'held.txt'}' is no longer there" in refused(updates=30)
    assert resume(24, validation="moved.txt").state.update == 24
    Path("moved.txt").write_text(TEXT, encoding="utf-8")
    for options in ({}, {"validation": "moved.txt"}):
        words = f"'{folder / 'moved.txt'}' is not the validation text of the run (SHA-256 "
        assert words in refused(updates=30, **options)
    assert "cannot change validation on resume" in refused(updates=30, validation=0.1)


@pytest.mark.parametrize(
    ("text", "validation", "message"),
    [
        ("It was Éê", "other.txt", r"'other.txt' contains 'É' \(U\+00C9\) and 1 other character, "),
        ("It was É", Path("other.txt"), r"contains 'É' \(U\+00C9\), .*: pass min_count=1 to "),
        ("I", "other.txt", r"'other.txt' has a single character"),
    ],
)
def test_what_is_no_validation_set_is_refused(text: str, validation: Any, message: str) -> None:
    Path("other.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ElmanError, match=message):
        elman.train("corpus/1.txt", **OPTIONS, validation=validation, max_updates=3)
    if "É" in text:
        run = elman.train("corpus/1.txt", **OPTIONS, validation=validation, max_updates=3, min_count=1)
        assert run.validation_loss is not None
