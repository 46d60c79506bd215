"""The Python API as `docs/how_to/python.md` shows it: options, batches, files, callbacks, notebooks."""

import ast
import inspect
import pickle
import re
import sys
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import elman
from elman.config import make_config
from elman.errors import ElmanError, command_line, option
from elman.formats import list_export_options
from elman.model.lines import LINE_OPTIONS
from elman.network.sampling import list_sampling_options
from elman.options import read_synonyms, suggest_option
from elman.text import Corpus
from elman.training.api import OTHER_ARGUMENTS
from project.typed_user_script import use_everything
from support.state import ROOT, TEXT
from support.training import EXACT, contents, train

PAGE = (ROOT / "docs" / "how_to" / "python.md").read_text("utf-8")
EXAMPLES = re.findall(r"<!-- run -->\n```python\n(.*?)```", PAGE, re.DOTALL)
SETTINGS = [setting.name for setting in fields(elman.Config)]
SAMPLING = [option.name for option in list_sampling_options()]
LINES = [option.name for option in LINE_OPTIONS]


@pytest.fixture(scope="module")
def model() -> elman.Model:
    return train(Corpus.from_text(TEXT), **EXACT, max_updates=10, ngram_order=3).model


def test_help_describes_every_setting_by_its_python_name() -> None:
    parameters, page = inspect.signature(elman.train).parameters, inspect.getdoc(elman.train) or ""
    assert [*parameters][-len(SETTINGS) :] == SETTINGS
    assert parameters["learning_rate"].default == make_config("minute").learning_rate
    for name, parameter in parameters.items():
        assert re.search(rf"^{name} : .*", page, re.MULTILINE), name
        assert parameter.default is inspect.Parameter.empty or name in page
    assert "OPTIONS" not in page
    assert not re.search(r"--\w", page)


@pytest.mark.parametrize("method", ["sample", "samples", "stream"])
def test_help_describes_every_sampling_option(method: str) -> None:
    function = getattr(elman.Model, method)
    for name in ("length", "prompt", "stop", "seed", "adapt", *SAMPLING, *(LINES if method == "samples" else [])):
        assert name in inspect.signature(function).parameters
        assert re.search(rf"^{name} : .*", inspect.getdoc(function) or "", re.MULTILINE), name


def test_a_synonym_is_no_option_itself_and_names_one() -> None:
    known = {*SETTINGS, *OTHER_ARGUMENTS, *SAMPLING, *LINES, "count", "length", "prompt", "stop", "runs diff"}
    assert set(read_synonyms().values()) <= known
    assert not set(read_synonyms()) & known
    assert [suggest_option(name, known) for name in ("qqq", "from", "column")] == [None, "init_from", "field"]


def test_messages_name_arguments_in_python_and_options_on_the_command_line() -> None:
    def message() -> str:
        file = "a --max-chars {b}.txt"
        values = f"{option.validation:0.1}, {option.dtype:float32} or {option.resume:True}"
        return f"{option.grad_clip} of {file}: {values}"

    assert message() == "grad_clip of a --max-chars {b}.txt: validation=0.1, dtype='float32' or resume=True"
    with command_line():
        assert message() == "--grad-clip of a --max-chars {b}.txt: --validation 0.1, --dtype float32 or --resume"


def test_messages_name_options_that_exist() -> None:
    sources = {path: path.read_text("utf-8") for path in Path(elman.__file__).parent.rglob("*.py")}
    users = [source for source in sources.values() if re.search(r"errors import .*\boption\b", source)]
    named = {name for source in users for name in re.findall(r"\{option\.([a-z_]+)[:}]", source)}
    commands = [ast.parse(source) for path, source in sources.items() if "commands" in (path.parent.name, path.stem)]
    arguments = {each.arg for tree in commands for each in ast.walk(tree) if isinstance(each, ast.arg)}
    assert named <= arguments | {*SETTINGS, *SAMPLING, *LINES} | {each.name for each in list_export_options()}


def test_a_configuration_is_accepted(corpus: Corpus) -> None:
    settings = {name: value for name, value in EXACT.items() if name != "preset"}
    config = elman.Config(**settings, max_updates=5)
    run = elman.train(corpus, config=config, learning_rate=0.2)
    assert asdict(run.config) == asdict(config) | {"learning_rate": 0.2}
    assert run.preset == ""


@pytest.mark.parametrize("adapt", [None, "counts"])
def test_losses_of_characters_sum_to_the_score(model: elman.Model, adapt: Any) -> None:
    for text in (TEXT, "the X and Y", "XY the", "XY"):
        score = model.score(text, adapt=adapt)
        assert score.per_char.shape == (len(text),)
        assert np.nansum(score.per_char) == pytest.approx(score.nats, rel=1e-9)
        first = next((n for n, c in enumerate(text) if c in model.alphabet.characters), None)
        assert [*np.flatnonzero(np.isnan(score.per_char))] == ([] if first is None else [first])


def test_a_score_is_pickled_without_the_model(model: elman.Model) -> None:
    score = model.score(TEXT)
    data = pickle.dumps(score)
    assert pickle.loads(data) == score
    assert len(data) < 200


def test_a_list_is_scored_text_by_text(model: elman.Model) -> None:
    assert model.score([TEXT, "the"]) == [model.score(TEXT), model.score("the")]
    assert model.score([]) == []


@pytest.mark.parametrize("adapt", [None, "counts"])
def test_a_list_of_prompts_is_sampled_as_each_would_be(model: elman.Model, adapt: Any) -> None:
    prompts = ["the", TEXT[:9], "the"]
    texts = model.samples(prompts, 20, seed=3, adapt=adapt)
    assert texts == [model.sample(20, prompt=prompt, seed=3 + n, adapt=adapt) for n, prompt in enumerate(prompts)]


def test_numbers_may_be_those_of_numpy(model: elman.Model) -> None:
    any_model: Any = model
    assert any_model.sample(np.int8(5), seed=np.int64(1), top_k=np.int64(2)) == model.sample(5, seed=1, top_k=2)


def test_a_model_does_not_replace_the_checkpoint_of_a_run(corpus: Corpus, tmp_path: Path) -> None:
    run = train(corpus, **EXACT, max_updates=5, out=tmp_path)
    path = tmp_path / "copy.safetensors"
    path.write_bytes((tmp_path / "checkpoint.safetensors").read_bytes())
    before = contents(tmp_path)
    for file in (tmp_path / "checkpoint.safetensors", path):
        for write in (run.model.save, lambda file: elman.export(run.model, file)):
            with pytest.raises(ElmanError, match="checkpoint of a run"):
                write(file)
    assert contents(tmp_path) == before
    for _ in range(2):  # a file with another content is replaced
        run.model.save(tmp_path / "model.safetensors")
        elman.export(run.model, tmp_path / "exported.safetensors")


def test_metrics_for_pandas(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = train(corpus, **EXACT, max_updates=10).metrics
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert metrics.to_pandas() == [asdict(row) for row in metrics]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ElmanError, match="pandas"):
        metrics.to_pandas()
    assert repr(metrics) == f"<{len(metrics)} records, the last {metrics[-1]!r}>"


def test_a_function_stops_the_run(corpus: Corpus) -> None:
    run = train(corpus, **EXACT, max_updates=50, on_update=lambda run: run.state.update >= 7)
    assert (run.state.update, run.stopped) == (7, "interrupted")


def test_notebooks_show_small_escaped_tables(tmp_path: Path) -> None:
    run = train(Corpus.from_text("<b>&" * 30, "<i>"), **EXACT, max_updates=10, out=tmp_path)
    page = elman.explain("<b>&" * 9, run.model)
    assert re.fullmatch(
        r"<ExplainPage of 'text': 35 characters predicted, \d\.\d{3} bits per character, 4 units>", repr(page)
    )
    for shown in (run, elman.open_run(tmp_path), run.model, run.samples[0], run.model.score("<b>"), page):
        html = shown._repr_html_()
        assert len(html) < 5000
        assert re.findall(r"<(\w+)", html)[0] in ("table", "figure")
        assert not re.search(r"<(script|b>|i>)|&(?!amp;|lt;|gt;|quot;|#)", html)
    assert "&lt;i&gt;" in run._repr_html_()
    colours = re.findall(r'<span title="([\d.]+) bits" style="background: rgba\(230, 110, 40, ([\d.]+)\)">', html)
    assert [float(bits) for bits, _ in colours] == pytest.approx(page.explanation.surprisal[1:], abs=0.01)
    assert [float(opacity) * 8 for _, opacity in colours] == pytest.approx(page.explanation.surprisal[1:], abs=0.05)


def test_the_script_of_a_user_runs(tmp_path: Path) -> None:
    run = use_everything(tmp_path)
    assert run.init_from is not None


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) == 5
    for example in EXAMPLES:
        exec(example, names)
    assert (tmp_path / "loss.pdf").stat().st_size > 1000
    assert elman.load("cats.safetensors").sample(9, seed=1) == names["run"].model.sample(9, seed=1)
