"""The Hugging Face Hub: a folder for it, and the download of a model.

A folder has the weights, the settings, and a model card with metadata.

The file of weights is a network's file, see `elman.runs.snapshot`, so `elman.load` reads the folder itself.
https://huggingface.co/docs/hub/model-cards describes the metadata.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

from elman._version import __version__
from elman.errors import ElmanError, quote, require_extra
from elman.formats import page
from elman.formats.contents import require_pruned
from elman.formats.format import Format, IncludeText, Language, License, ModelInfo, Weights
from elman.model import Model
from elman.model.loading import HUB_WEIGHTS
from elman.model.score import Score
from elman.network.parameters import summarize
from elman.runs.snapshot import LineData
from elman.storage.files import parse_strict_json, read_regular_file, safe_message

SETTINGS = "config.json"  # the file next to the weights in a repository or folder
MODEL_TYPE = "elman"  # ``model_type`` in ``config.json``
_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@(.+))?")

CARD, PAGE = "README.md", "page.html"


def write(
    model: Model,
    info: ModelInfo,
    *,
    license: License = "",
    language: Language = "",
    weights: Weights = "",
    include_text: IncludeText = False,
) -> dict[str, bytes]:
    """Return the files of the folder."""
    # The hashes of training lines are left out: with them, anyone could check whether the text contains a line.
    require_pruned(model.parameters.ngrams, include_text)
    snapshot = replace(info.snapshot, lines=LineData(score_quantiles=info.snapshot.lines.score_quantiles))
    header = {"model_type": MODEL_TYPE, "elman_version": __version__, "vocab_size": len(snapshot.alphabet)}
    text = json.dumps(header | snapshot.config.without_paths(), indent=2) + "\n"
    files = {HUB_WEIGHTS: snapshot.serialize(), SETTINGS: text.encode()}
    if not page.FORMAT.missing(model.parameters.architecture) and page.count_weights(model) <= page.MAX_WEIGHTS:
        files[PAGE] = page.write(model, info, license=license, weights=weights, include_text=include_text)
    card = _render_card(model, info, license=license, language=language, has_page=PAGE in files)
    return files | {CARD: card.encode()}


def _render_card(model: Model, info: ModelInfo, **options: str | bool) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # the other formats do not need it

    environment = Environment(loader=PackageLoader("elman.formats", "."), undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"plain": _keep_plain, "quoted": _quote_yaml, "on_hub": _name_on_hub}
    loss, metrics = info.snapshot.validation_loss, {}
    if loss is not None:
        metrics = {"nats_per_char": ("Nats per character", loss)}
        metrics |= {"bits_per_char": ("Bits per character", loss / math.log(2))}
        perplexity = Score(1, loss).perplexity
        if math.isfinite(perplexity):  # not if training diverged to a loss above 709; YAML's infinity is no metric
            metrics |= {"perplexity": ("Perplexity per character", perplexity)}
    network, config, ngrams = model.parameters.architecture, info.snapshot.config, model.parameters.ngrams
    weights, dataset = summarize(model.parameters)["weights"], _name_on_hub(info.text.name) if info.text else ""
    return environment.get_template("card.md").render(
        info=info, config=config, network=network, weights=weights, ngrams=ngrams, dataset=dataset, metrics=metrics,
        **options,
    )  # fmt: skip


def _name_on_hub(name: str) -> str:
    """Return a name with hyphens in place of characters that the Hub rejects in names of repositories and data sets."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def _keep_plain(text: str) -> str:
    """Return a name without characters that would end a line or a code span of Markdown, or are not printable."""
    return "".join(character for character in text if character.isprintable() and character != "`")


def _quote_yaml(text: str) -> str:
    """Return a string of YAML: every JSON string is one."""
    return json.dumps(_keep_plain(text), ensure_ascii=False)


def download(name: str) -> Path:
    """Return the file of weights of a model on the Hugging Face Hub, in the cache of huggingface_hub."""
    # From a repository of another library, only ``config.json`` is downloaded.
    if (match := _NAME.fullmatch(name)) is None:
        names = "hf://OWNER/NAME or hf://OWNER/NAME@REVISION"
        raise ElmanError(f"a model on the Hugging Face Hub is {names} (got {quote(name)})")
    repository, revision = match.groups()
    with require_extra("hub"):
        from huggingface_hub import errors, hf_hub_download
    try:
        settings = Path(hf_hub_download(repository, SETTINGS, revision=revision))
        if _is_ours(settings):
            # The file's folder is named after its commit; the branch may be at another commit by now.
            return Path(hf_hub_download(repository, HUB_WEIGHTS, revision=settings.parent.name))
        reason = f"its {SETTINGS} was not written by Elman"
    except errors.RepositoryNotFoundError:
        reason = "there is no such repository, or it is private: for a private one, log in with hf auth login"
    except errors.RevisionNotFoundError:
        reason = f"the repository has no revision {quote(revision or 'main')}"
    except errors.LocalEntryNotFoundError:  # it is not in the cache, and the network failed
        reason = "the Hugging Face Hub cannot be reached, and the model is not in the cache"
    except errors.EntryNotFoundError:
        reason = f"the repository does not have both {SETTINGS} and {HUB_WEIGHTS}, as written by elman export"
    except Exception as error:  # depends on the HTTP client of that version of huggingface_hub
        reason = f"{type(error).__name__}: {safe_message(error)}"
    raise ElmanError(f"cannot load {quote(name)}: {reason}")


def _is_ours(settings: Path) -> bool:
    try:
        contents = parse_strict_json(read_regular_file(settings).decode("utf-8"))
    except ValueError:
        return False
    return isinstance(contents, dict) and contents.get("model_type") == MODEL_TYPE


FORMAT = Format("", "folder for the Hugging Face Hub", write)
