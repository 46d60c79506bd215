"""`elman export RUN lm.arpa` and `elman import lm.arpa`, and what an imported model does."""

import re
import shlex
import sys
from collections.abc import Callable
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import elman
from elman.formats.arpa import name_characters
from elman.text import Alphabet, Corpus
from support.cli import exit_code
from support.state import ROOT
from support.training import train

TEXT = "the cat | sat on the mat,\nand\tthe \0dog lay by the door.\n" * 20


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return runs of counts alone, of which only that of text has an unknown symbol."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in (("text", {"min_count": 21}), ("lines", {"lines": True})):
        train(Corpus.from_text(TEXT), preset="counts", validation=0, ngram_order=7, out=folder / name, **options)
    return folder


@pytest.mark.parametrize("name", ["text", "lines"])
def test_an_exported_model_is_imported(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code("export", runs / name, "lm.arpa") == 0
    assert capsys.readouterr() == ("lm.arpa\n", "")
    assert exit_code("import", "lm.arpa", "imported") == 0
    assert exit_code("import", "lm.arpa", "other", "--space", "x") == 2
    assert capsys.readouterr().err.endswith("'lm.arpa' cannot be imported: it has no word 'x': change --space\n")
    model, imported = elman.load(runs / name), elman.load("imported")
    elman.export("imported", "again.npz")
    elman.export("imported", "again.arpa", order=4)
    again, lower = elman.import_("again.npz"), elman.import_("again.arpa", engine="numpy")
    for each in (imported, elman.load("imported", engine="numpy"), again):
        assert each.alphabet == model.alphabet
        assert each.is_of_lines == model.is_of_lines
        assert each.score(TEXT[:200]).nats == pytest.approx(model.score(TEXT[:200]).nats, rel=1e-5)
        expected = model.next_char("the m")
        assert each.next_char("the m") == {character: pytest.approx(p, rel=1e-4) for character, p in expected.items()}
    assert imported.sample(20, prompt="the", seed=1) == model.sample(20, prompt="the", seed=1)
    assert imported.parameters.ngrams is not None
    assert lower.parameters.ngrams is not None
    assert (imported.parameters.ngrams.order, lower.parameters.ngrams.order) == (7, 4)


def test_what_needs_counts_is_refused_for_a_model_without(runs: Path, tmp_path: Path) -> None:
    elman.export(runs / "text", tmp_path / "lm.arpa")
    model = elman.import_(tmp_path / "lm.arpa", out=tmp_path / "imported")
    calls: list[Callable[[], object]] = [
        lambda: model.score(TEXT, adapt="counts"),
        lambda: elman.export(model, tmp_path / "page.html"),
        lambda: elman.export(model, tmp_path / "page.html", include_text=True),
        lambda: train(Corpus.from_text(TEXT), preset="counts", init_from=tmp_path / "imported"),
    ]
    if find_spec("onnx"):
        calls.append(lambda: elman.export(model, tmp_path / "model.onnx"))
    for call in calls:
        with pytest.raises(elman.ElmanError, match="it has probabilities and no counts"):
            call()


@pytest.mark.filterwarnings("default")
def test_the_network_is_left_out_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Corpus.from_text(TEXT), preset="quick", hidden_size=4, max_updates=1, out=tmp_path / "run")
    assert exit_code("export", tmp_path / "run", tmp_path / "lm.arpa") == 0
    expected = "warning: the file has the n-gram counts of the model, and not its network\n"
    assert capsys.readouterr() == (f"{tmp_path / 'lm.arpa'}\n", expected)
    elman.export(tmp_path / "run", tmp_path / "network.npz")
    with pytest.raises(elman.ElmanError, match=r"^space has no effect on 'network\.npz': remove it$"):
        elman.import_(tmp_path / "network.npz", space="|")


def test_a_table_of_single_characters_is_not_exported(tmp_path: Path) -> None:
    model = train(Corpus.from_text(TEXT), preset="counts", validation=0, ngram_min_count=9999).model
    with pytest.raises(elman.ElmanError, match="this model has no string of two characters: train with a lower "):
        elman.export(model, tmp_path / "lm.arpa")


def test_the_words_of_characters(runs: Path, tmp_path: Path) -> None:
    alphabet = Alphabet(" a|\t\n\0\x85\ud800\u2028\xa0<\N{REPLACEMENT CHARACTER}", has_unknown=True)
    words = ["<sp>", "a", "|", "<tab>", "<nl>", "<U+0000>", "<U+0085>", "<U+D800>", "<U+2028>", "\xa0", "<", "<unk>"]
    assert name_characters(alphabet) == words
    assert name_characters(alphabet, "_")[0] == "_"
    for space in ("|", "<s>", "<unk>", "<nl>", " ", "", "a b", "XY"):
        with pytest.raises(elman.ElmanError, match=r"^space must be (a word that no other character|one character)"):
            name_characters(alphabet, space)
    elman.export(runs / "lines", tmp_path / "lm.arpa", space="_", order=2)
    assert "\ty _\n" in (tmp_path / "lm.arpa").read_text()


# --- The programs of docs/how_to/decode.md ---

PAGE = (ROOT / "docs/how_to/decode.md").read_text("utf-8")

FILES = {"flashlight": "flashlight_decoder.py", "bcipy": "bcipy_model.py"}
PROGRAMS = {name: (ROOT / "examples" / file).read_text("utf-8") for name, file in FILES.items()}


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the commands of the page that make files, without the minute of training, were run."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "messages.txt").write_text("seven small owls sat\nin the rain on the wall\nand all of them sang\n" * 30)
    with chdir(folder):
        for command in re.findall(r"^elman ((?!decode)(?!.*runs/network).*)$", PAGE, re.MULTILINE):
            assert exit_code(*shlex.split(command.replace("new.txt", "messages.txt"), comments=True)) == 0
    return folder


@pytest.mark.parametrize(("name", "package"), [("flashlight", "flashlight.lib.text"), ("bcipy", "elman")])
def test_the_programs_of_the_page_run(
    page_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, package: str
) -> None:
    pytest.importorskip(package)
    monkeypatch.chdir(page_folder)
    monkeypatch.syspath_prepend(page_folder)
    monkeypatch.delitem(sys.modules, "model", raising=False)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(PROGRAMS[name], names)
    if name == "flashlight":
        print(names["decode"](make_frames("rain on the wall", names["symbols"])))
    printed = capsys.readouterr().out
    assert printed.startswith({"flashlight": "rain on the wall\n", "bcipy": "[('M', "}[name])


def make_frames(line: str, symbols: list[str]) -> NDArray[np.float64]:
    """Return log-probabilities: the right symbol has 0.4, and in every fourth character a wrong one has 0.5."""
    log_p, rng = np.full((2 * len(line), len(symbols)), np.log(0.002)), np.random.default_rng(1)
    log_p[1::2, 0] = 0.0
    for t, character in enumerate(line):
        log_p[2 * t, symbols.index("<sp>" if character == " " else character)] = np.log(0.4)
        if t % 4 == 2:
            log_p[2 * t, rng.integers(1, len(symbols))] = np.log(0.5)
    return log_p
