"""Generate text with onnxruntime from `network.onnx`, an exported model with an n-gram prior."""

import base64
import json

import numpy as np
import onnxruntime

from ngram_prior import NgramPrior

network = onnxruntime.InferenceSession("network.onnx")
entries = network.get_modelmeta().custom_metadata_map
about = json.loads(entries["elman"])
alphabet = about["alphabet"]
names = "strings", "rests", "children", "histogram"
table = {name: np.frombuffer(base64.b64decode(entries[f"ngrams.{name}"]), "<i8") for name in names}
prior = NgramPrior(table, len(alphabet), **about["ngram"])
state = {name: np.array(rows, np.float32)[:, None] for name, rows in about["state"].items()}  # (layers, 1, m)
generator = np.random.default_rng(1)
character = "\n"
for _ in range(200):
    x = np.array([[alphabet.index(character)]], np.int64)  # (T, B) = (1, 1)
    log_q, matched = prior.read(x)
    logits, *after = network.run(None, {"x": x, **state, "log_q": log_q, "matched": matched})
    state = dict(zip(state, after, strict=True))
    p = np.exp(logits[0, 0].astype(float) - logits.max())
    character = alphabet[generator.choice(len(p), p=p / p.sum())]
    print(character, end="")
