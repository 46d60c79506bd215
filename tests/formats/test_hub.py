"""The folder for the Hugging Face Hub: its files, the metadata of the model card, and what it says of the text."""

import json
import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import elman
from elman.errors import ElmanError
from elman.formats import exchange, page
from elman.model.loading import fingerprint
from elman.storage.tensors import read_description
from elman.text import Corpus
from support.random_model import random_prior_model
from support.state import TEXT, T
from support.training import train

yaml = pytest.importorskip("yaml")


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    _, metadata, text = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(metadata), text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a prior and a validation set, on a text with an odd name."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = replace(Corpus.from_text(TEXT * 3), name="my `novel`: \N{PILE OF POO}\n.txt")
    options: dict[str, Any] = {"hidden_size": 4, "seq_length": T, "ngram_order": 3, "validation": 0.2}
    train(corpus, **options, max_updates=3, out=folder / "run")
    return folder / "run"


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    elman.export(run, tmp_path / 'it\'s: a "model"', format="hub", license="cc0-1.0", language="no", weights="float32")
    return tmp_path / 'it\'s: a "model"'


def test_the_folder_is_the_model(folder: Path, run: Path, tmp_path: Path) -> None:
    files = "README.md config.json model.safetensors page.html"
    assert sorted(path.name for path in folder.iterdir()) == files.split()
    imported = elman.import_(folder, out=tmp_path / "imported")
    paths = folder, folder / "model.safetensors", tmp_path / "imported"
    for each in (imported, *map(elman.load, paths)):
        assert fingerprint(each) == fingerprint(elman.load(run))
        assert each.sample(30, seed=1) == elman.load(run).sample(30, seed=1)
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    assert {name: settings[name] for name in ("model_type", "cell", "hidden_size", "vocab_size", "ngram_order")} == {
        "model_type": "elman", "cell": "rnn", "hidden_size": 4, "vocab_size": len(set(TEXT)), "ngram_order": 3,
    }  # fmt: skip


def test_the_metadata_is_that_of_the_hub(folder: Path, run: Path) -> None:
    metadata, text = read_card(folder)
    loss = elman.open_run(run).validation_loss
    assert loss is not None
    (entry,) = metadata.pop("model-index")
    (result,) = entry["results"]
    assert entry["name"] == 'it\'s: a "model"'
    dataset = {"type": "my-novel-.txt", "name": "my novel: \N{PILE OF POO}.txt", "split": "validation"}
    assert result["dataset"] == dataset
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == pytest.approx(
        {"nats_per_char": loss, "bits_per_char": loss / math.log(2), "perplexity": math.exp(loss)}, abs=1e-4
    )
    assert metadata == {
        "library_name": "elman", "pipeline_tag": "text-generation", "language": "no", "license": "cc0-1.0",
        "tags": ["character-level", "recurrent-neural-network", "rnn"], "datasets": ["my-novel-.txt"],
        "metrics": ["nats_per_char", "bits_per_char", "perplexity"],
    }  # fmt: skip
    assert '# it\'s: a "model"\n' in text
    assert "hf://OWNER/it-s-a-model-\n" in text  # a name that the Hub accepts
    assert f"`my novel: \N{PILE OF POO}.txt`, {len(TEXT) * 3} characters" in text
    assert "strings of at most 3 characters\nthat occur at least 2 times in it" in text


def test_a_model_that_is_too_large_for_a_page(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MAX_WEIGHTS", 10)
    elman.export(run, tmp_path / "large", format="hub")
    files = ["README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "large").iterdir()) == files
    assert "page.html" not in (tmp_path / "large" / "README.md").read_text("utf-8")


def test_a_diverged_run_has_no_perplexity(tmp_path: Path) -> None:
    diverging: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e5, "grad_clip": 0.0, "validation": 0.2}
    run = train(
        Corpus.from_text(TEXT * 3), **diverging, hidden_size=4, seq_length=T, max_updates=20, out=tmp_path / "run"
    )
    assert run.validation_loss is not None
    assert run.validation_loss > 710
    elman.export(tmp_path / "run", tmp_path / "hub", format="hub")
    assert read_card(tmp_path / "hub")[0]["metrics"] == ["nats_per_char", "bits_per_char"]


def test_a_run_whose_time_has_a_year_of_five_digits(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems have such times."""
    later = SimpleNamespace(fromtimestamp=lambda seconds: date.fromtimestamp(seconds + 3e11))
    monkeypatch.setattr(exchange, "date", later)
    found, when = exchange._find_record(run)
    assert (found is None, when) == (False, None)


def test_huggingface_hub_reads_the_metadata(folder: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    card = huggingface_hub.ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    assert card.data.license == "cc0-1.0"
    assert [each.metric_type for each in card.data.eval_results] == ["nats_per_char", "bits_per_char", "perplexity"]


def test_the_card_of_a_model_without_a_run(tmp_path: Path) -> None:
    model = random_prior_model(TEXT, "gru")
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    for name, min_count, says in (
        ("all", 1, "**The training text can be read out of the files**"),
        ("pruned", 2, "The files do not contain the training text."),
    ):
        parameters = replace(model.parameters, ngrams=replace(ngrams, min_count=min_count))
        options: dict[str, Any] = {"format": "hub", "weights": "float32", "include_text": min_count == 1}
        elman.export(replace(model, parameters=parameters), tmp_path / name, **options)
        metadata, text = read_card(tmp_path / name)
        assert list(metadata) == ["library_name", "pipeline_tag", "tags"]
        assert says in text
        assert "## Evaluation" not in text


def test_an_unpruned_table_is_refused_even_if_the_prior_is_off(tmp_path: Path) -> None:
    model = random_prior_model(TEXT, "gru")
    ngrams, arrays = model.parameters.ngrams, dict(model.parameters.arrays)
    assert ngrams is not None
    arrays["alpha"] = np.zeros_like(arrays["alpha"])
    parameters = replace(model.parameters, arrays=arrays, ngrams=replace(ngrams, min_count=1))
    with pytest.raises(ElmanError, match="is not pruned"):
        elman.export(replace(model, parameters=parameters), tmp_path / "folder", format="hub")


def test_a_model_of_lines(tmp_path: Path) -> None:
    text = "Ada\nGrace\nAlan\nJean\nEdsger\n" * 3
    options: dict[str, Any] = {"hidden_size": 3, "seq_length": 4, "max_updates": 2, "engine": "numpy"}
    model = train(Corpus.from_text(text), **options, lines=True).model
    elman.export(model, tmp_path / "folder", format="hub", weights="float32")
    loaded = elman.load(tmp_path / "folder", engine="numpy")
    assert loaded.sample(20, seed=3) == model.sample(20, seed=3)
    np.testing.assert_array_equal(loaded.state.recurrent, model.state.recurrent)
    assert model.in_training_text("Ada")
    with pytest.raises(ElmanError, match="does not know the lines"):  # who guesses one cannot look it up
        loaded.in_training_text("Ada")


def test_a_folder_is_replaced_file_by_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    (tmp_path / "clone" / "README.md").write_text("old", "utf-8")
    elman.export(run, tmp_path / "clone", format="hub", weights="float32")
    assert (tmp_path / "clone" / ".git").is_dir()
    assert read_card(tmp_path / "clone")[0]["library_name"] == "elman"
    assert read_description(tmp_path / "clone" / "model.safetensors")["config"]["cell"] == "rnn"
    with pytest.raises(ElmanError, match=r"contains a run or a model: choose another out$"):
        elman.export(elman.load(run), run, format="hub")
    assert not (run / "README.md").exists()
