"""Score a text in PyTorch with `network.safetensors`, an exported model with an n-gram prior; save it again."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ngram_prior import NgramPrior


class Prior(torch.nn.Module):
    def __init__(self, order, table):
        super().__init__()
        self.alpha = torch.nn.Parameter(torch.zeros(order + 1))
        for name, array in table.items():
            self.register_buffer(f"table_{name}", array)

    def forward(self, log_q, matched):  # (T, B, K), (T, B)
        return self.alpha[matched][..., None] * log_q


class Network(torch.nn.Module):
    def __init__(self, cell, characters, units, layers, order, table):
        super().__init__()
        self.rnn = getattr(torch.nn, cell.upper())(characters, units, layers)
        self.linear = torch.nn.Linear(units, characters)
        self.ngram = Prior(order, table)

    def forward(self, x, log_q, matched, state=None):  # x (T, B)
        one_hot = torch.nn.functional.one_hot(x, self.linear.out_features)
        h, state = self.rnn(one_hot.to(self.linear.weight.dtype), state)
        return self.linear(h) + self.ngram(log_q, matched), state


with safe_open("network.safetensors", "pt") as file:
    about = json.loads(file.metadata()["elman"])
arrays, alphabet = load_file("network.safetensors"), about["alphabet"]
sizes = len(alphabet), about["hidden_size"], about["layers"], about["ngram"]["order"]
names = "strings", "rests", "children", "ones", "histogram"
table = {name: arrays[f"ngram.table_{name}"] for name in names}
network = Network(about["cell"], *sizes, table)
network.load_state_dict(arrays)
prior = NgramPrior({name: array.numpy() for name, array in table.items()}, len(alphabet), **about["ngram"])

parts = [torch.tensor(rows)[:, None] for rows in about["state"].values()]  # (layers, 1, m) each
state = tuple(parts) if about["cell"] == "lstm" else parts[0]
x = torch.tensor([[alphabet.index(character)] for character in "It was a dark and stormy night"])
log_q, matched = map(torch.from_numpy, prior.read(x[:-1].numpy()))
logits, state = network(x[:-1], log_q, matched, state)
loss = torch.nn.functional.cross_entropy(logits[:, 0], x[1:, 0])
print(loss.item(), "nats per character")  # the same as model.score

metadata = {"alphabet": alphabet, "ngram": about["ngram"]}
save_file(network.state_dict(), "mine.safetensors", {"elman": json.dumps(metadata)})
