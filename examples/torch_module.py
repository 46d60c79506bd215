"""A PyTorch module for an exported model: load its state dict, score a text, write a file for `elman import`.

elman export RUN network.safetensors
elman export RUN model.py             for its n-gram prior, if it has one
python examples/torch_module.py       reads network.safetensors and writes mine.safetensors
"""

import json

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


class Network(torch.nn.Module):
    def __init__(self, cell, characters, units, layers):
        super().__init__()
        self.rnn = getattr(torch.nn, cell.upper())(characters, units, layers)  # RNN, GRU or LSTM
        self.linear = torch.nn.Linear(units, characters)

    def forward(self, x, state=None):  # x (T, B)
        one_hot = torch.nn.functional.one_hot(x, self.linear.out_features)
        h, state = self.rnn(one_hot.to(self.linear.weight.dtype), state)
        return self.linear(h), state


with safe_open("network.safetensors", "pt") as file:
    about = json.loads(file.metadata()["elman"])
alphabet, arrays = about["alphabet"], load_file("network.safetensors")
prior = {name: arrays.pop(name) for name in list(arrays) if name.startswith("ngram.")}
network = Network(about["cell"], len(alphabet), about["hidden_size"], about["layers"])
network.load_state_dict(arrays)

parts = [torch.tensor(rows)[:, None] for rows in about["state"].values()]  # (layers, 1, m) each
state = tuple(parts) if about["cell"] == "lstm" else parts[0]
text = [character for character in "It was a dark and stormy night" if character in alphabet]
x = torch.tensor([[alphabet.index(character)] for character in text])
logits, state = network(x[:-1], state)
if prior:  # the weights alpha of the matched lengths, and log q
    from model import model

    nodes, rows = model.prior.start(1), []
    for k in x[:-1].numpy():
        nodes = model.prior.read(nodes, k)
        log_q, matched = model.prior.predict(nodes)
        rows.append(prior["ngram.alpha"][matched][:, None] * torch.tensor(log_q))
    logits = logits + torch.stack(rows)
loss = torch.nn.functional.cross_entropy(logits[:, 0], x[1:, 0])
print(loss.item(), "nats per character")  # the same as model.score

metadata = {name: about[name] for name in ("alphabet", "folds", "ngram") if name in about}
save_file(network.state_dict() | prior, "mine.safetensors", {"elman": json.dumps(metadata)})
