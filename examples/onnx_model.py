"""Generate text with a network that was exported to ONNX, with onnxruntime; Elman is not needed.

elman export RUN network.onnx        where Elman is installed, with the extra export
python examples/onnx_model.py        the text of `elman sample RUN --length 200 --seed 1 --temperature 1`
"""

import json

import numpy as np
import onnxruntime

network = onnxruntime.InferenceSession("network.onnx")
about = json.loads(network.get_modelmeta().custom_metadata_map["elman"])
alphabet = about["alphabet"]
state = {name: np.array(rows, np.float32)[:, None] for name, rows in about["state"].items()}  # (layers, 1, hidden size)
if "ngram" in about:
    state["history0"] = np.zeros((about["ngram"]["order"] - 1, 1), np.int64)
generator = np.random.default_rng(1)
character = "\n" if "\n" in alphabet else alphabet[0]
for _ in range(200):
    x = np.array([[alphabet.index(character)]], np.int64)  # (T, B) = (1, 1)
    logits, *after = network.run(None, {"x": x, **state})
    state = dict(zip(state, after, strict=True))
    p = np.exp(logits[0, 0].astype(float) - logits.max())
    character = alphabet[generator.choice(len(p), p=p / p.sum())]
    print(character, end="")
