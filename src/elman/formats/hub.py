"""A folder for the Hugging Face Hub: the weights, the settings, and a model card with metadata.

The weights are those of a network's file, see `elman.runs.snapshot`, so `elman.load` reads the folder itself.
The metadata is that of https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

from elman._version import __version__
from elman.formats import page
from elman.formats.contents import require_pruned
from elman.formats.format import Format, IncludeText, Language, License, ModelInfo, Weights
from elman.model import Model
from elman.model.loading import HUB_SETTINGS, HUB_WEIGHTS, MODEL_TYPE
from elman.network.parameters import summarize
from elman.runs.snapshot import LineData

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
    """Return the files of the folder.

    The hashes of training lines are left out: whoever guesses a line could check that the text contains it.
    """
    require_pruned(model.parameters.ngrams, include_text)
    snapshot = replace(info.snapshot, lines=LineData(score_quantiles=info.snapshot.lines.score_quantiles))
    settings = snapshot.config.without_paths()
    header = {"model_type": MODEL_TYPE, "elman_version": __version__, "vocab_size": len(snapshot.alphabet)}
    files = {
        HUB_WEIGHTS: snapshot.serialize(),
        HUB_SETTINGS: (json.dumps(header | settings, indent=2) + "\n").encode(),
    }
    if not page.FORMAT.missing(model.parameters.architecture):
        files[PAGE] = page.write(model, info, license=license, weights=weights, include_text=include_text)
    card = _render_card(model, info, license=license, language=language, has_page=PAGE in files)
    return files | {CARD: card.encode()}


def _render_card(model: Model, info: ModelInfo, **options: str | bool) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # which the other formats do not need

    environment = Environment(loader=PackageLoader("elman.formats", "."), undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"plain": _keep_plain, "quoted": _quote_yaml, "on_hub": _name_on_hub}
    loss = info.snapshot.validation_loss
    return environment.get_template("card.md").render(
        info=info,
        **options,
        config=info.snapshot.config,
        network=model.parameters.architecture,
        weights=summarize(model.parameters)["weights"],
        ngrams=model.parameters.ngrams,
        dataset=_name_on_hub(info.text.name) if info.text else "",
        metrics={}
        if loss is None
        else {
            "nats_per_char": ("Nats per character", loss),
            "bits_per_char": ("Bits per character", loss / math.log(2)),
            "perplexity": ("Perplexity per character", math.exp(loss)),
        },
    )


def _name_on_hub(name: str) -> str:
    """Return a name with what the Hub does not accept, in that of a repository or a data set, replaced by hyphens."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def _keep_plain(text: str) -> str:
    """Return a name without what would end a line or a code span of Markdown, or is no text."""
    return "".join(character for character in text if character.isprintable() and character != "`")


def _quote_yaml(text: str) -> str:
    """Return a string of YAML, which contains those of JSON."""
    return json.dumps(_keep_plain(text), ensure_ascii=False)


FORMAT = Format("", "folder for the Hugging Face Hub", write)
