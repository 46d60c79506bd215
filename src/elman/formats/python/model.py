"""A character-level language model in one file, written by `elman export`, for Python 3.8 and NumPy 1.20 or newer.

    from model import model                          # the name of this file
    print(model.sample(200, prompt="the ", seed=1))
    model.score("the cat").mean()                    # nats per character
    state, log_p = model.read("the ")                # log p (1, K) of each next character of model.alphabet
    state, log_p = model.step(state, "c")            # … and after one more character
    beam = [part[[0, 0]] for part in state]          # two copies, which model.step(beam, "au") continues

K  characters in the alphabet    m  hidden units of a layer    B  texts that are read at the same time
n  length of the longest context of the n-gram prior

The arrays of the model are at the end of this file. `Model("network.npz")` reads a file that Elman exported to npz.
"""

import base64
import gzip
import io
import json

import numpy as np


def sigmoid(a):
    """Return 1 / (1 + e^-a)."""
    return 1 / (1 + np.exp(-np.maximum(a, -80)))  # e^80 does not overflow


def rnn(Ux, W, h, _):
    """Return the new state h (B, m) of a layer of Elman's network (1990); Ux (B, m) is U x + b."""
    return np.tanh(Ux + h @ W.T)


def gru(Ux, W, h, d):
    """Return the new h of gated recurrent units (Cho et al., 2014), which reset after the product, as in PyTorch."""
    (i_r, i_z, i_n), (k_r, k_z, k_n) = np.split(Ux, 3, axis=1), np.split(h @ W.T, 3, axis=1)
    r, z = sigmoid(i_r + k_r), sigmoid(i_z + k_z)
    n = np.tanh(i_n + r * (k_n + d))
    return (1 - z) * n + z * h


def lstm(Ux, W, h_s, _):
    """Return the new h and cell state s, (B, 2 m), of long short-term memory (Hochreiter and Schmidhuber, 1997)."""
    h, s = np.split(h_s, 2, axis=1)
    i, f, g, o = np.split(Ux + h @ W.T, 4, axis=1)
    s = sigmoid(f) * s + sigmoid(i) * np.tanh(g)
    return np.hstack([sigmoid(o) * np.tanh(s), s])


class Model:
    """A network, an n-gram model, or a network with an n-gram prior."""

    def __init__(self, file):
        self.arrays = dict(np.load(file))
        about = json.loads(self.arrays["elman"].tobytes().decode())
        self.cell, self.m, self.layers = globals()[about["cell"]], about["hidden_size"], about["layers"]
        self.alphabet, self.has_unknown = about["alphabet"], about["folds"]  # the last one is for unknown characters
        self.index = {character: k for k, character in enumerate(self.alphabet)}
        self.of_lines = about.get("lines", False)  # each line is read after a line feed, from a state of zeros
        self.feed = self.index["\n"] if self.of_lines else -1
        self.prior = NgramPrior(self.arrays, self, **about["ngram"]) if "ngram" in about else None

    def start(self, B=1):
        """Return the initial state of B texts: the states of the layers in one array (B, …), and nodes (B, n + 1)."""
        nodes = self.prior.start(B) if self.prior else np.zeros((B, 0), int)
        state = np.tile(self.arrays["h"], (B, 1)), nodes
        return self.step(state, "\n" * B)[0] if self.of_lines else state

    def read(self, text):
        """Read a text (if empty, a start character) from the start; return the state and log p, as `step` does."""
        state = self.start()
        for character in text or ("\n" if "\n" in self.index else self.alphabet[0]):
            state, log_p = self.step(state, character)
        return state, log_p

    def step(self, state, characters):
        """Read one character of each text; return the new state, and log p (B, K) of the next characters.

        `characters` is a string of B characters, or their indices. `state` does not change: it has many continuations.
        """
        x = self.encode(characters) if isinstance(characters, str) else np.asarray(characters)
        (h, nodes), A, after = state, self.arrays, []
        h = np.where(x[:, None] == self.feed, np.zeros_like(h), h)
        y = A["U"].T[x]  # the product of U and a one-hot vector is a column of U
        for layer, of_layer in enumerate(np.split(h, self.layers, axis=1), 1):
            suffix = str(layer) if layer > 1 else ""
            Ux = (y @ A["U" + suffix].T if suffix else y) + A["b" + suffix]
            after.append(self.cell(Ux, A["W" + suffix], of_layer, A.get("d" + suffix)))
            y = after[-1][:, : self.m]
        logits = y @ A["V"].T + A["c"]
        if self.prior:
            nodes = self.prior.read(nodes, x)
            log_q, matched = self.prior.predict(nodes)
            logits = logits + A["alpha"][matched][:, None] * log_q
        logits = logits - logits.max(axis=1, keepdims=True)
        return (np.hstack(after), nodes), logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def encode(self, text):
        """Return the index of each character."""
        found = [self.index.get(character, len(self.alphabet) - 1 if self.has_unknown else None) for character in text]
        if None in found:
            raise ValueError(f"the model does not know the character {text[found.index(None)]!r}")
        return np.array(found, int)

    def score(self, text):
        """Return -log p in nats of every character after the first; for independent lines, of all and of line ends."""
        x = self.encode("\n".join(["", *filter(None, text.split("\n")), ""]) if self.of_lines else text)
        state, losses = self.start(), []
        for t in range(len(x) - 1):
            state, log_p = self.step(state, x[t : t + 1])
            losses.append(-log_p[0, x[t + 1]])
        return np.array(losses)

    def sample(self, length=200, prompt="", temperature=0.7, seed=None):
        """Return a text that continues the prompt; for independent lines, the rest of a line."""
        random, (state, log_p), text = np.random.default_rng(seed), self.read(prompt), ""
        while len(text) < length and not (self.of_lines and text.endswith("\n")):
            total = np.cumsum(np.exp((log_p[0] - log_p.max()) / temperature))
            text += self.alphabet[np.searchsorted(total, random.random() * total[-1], "right")]
            state, log_p = self.step(state, text[-1])
        return text[:-1] if self.of_lines and text.endswith("\n") else text


class NgramPrior:
    """How often strings of up to n + 1 characters, its order, occur, smoothed by Kneser and Ney's method (1995).

    The strings are a trie: node 0 is the empty one, and the children of a node have one more character at the end.
    Nodes are numbered by length, and for equal lengths in the order of their strings. Let q_o be the distribution after
    a context, the last o characters of a text, and q_{-1}(k) = 1 / K. Then

        q_o(k) = share of the child k of the context's node + rest of the context's node * q_{o-1}(k)
    """

    def __init__(self, arrays, model, order, nodes, contexts, **_):
        self.K, self.n, self.feed = len(model.alphabet), order - 1, model.feed
        width = max(1, (self.K - 1).bit_length())
        strings = unpack(arrays["ngrams.strings"], width + 4, nodes - 1)  # the last character, and the code of a count
        is_end = unpack(arrays["ngrams.children"], 1, nodes - 1 + contexts)  # a 0 for each child of a context, then a 1
        parents, symbols = np.cumsum(is_end)[is_end == 0], strings % 2**width
        self.symbols, self.keys = np.append(0, symbols), np.append(parents * self.K + symbols, 2**62)  # keys ascend
        self.first = np.searchsorted(parents, np.arange(contexts + 1)) + 1  # the first child of each context
        if "ngrams.terms" in arrays:  # the model was imported from an ARPA file
            self.share, self.rest = arrays["ngrams.terms"].T
            return
        codes = np.append(strings >> width, unpack(arrays["ngrams.rests"], 4, contexts))
        codes[codes == 15] = unpack(arrays["ngrams.large"], 8, np.count_nonzero(codes == 15))
        counts = np.array([*range(8), *(m << e for e in range(31) for m in range(8, 16))])[codes]
        w, others = counts[: nodes - 1], counts[nodes - 1 :]  # others: counts of the strings that are not in the table
        lengths = np.zeros(nodes, int)
        for _ in range(order):
            lengths[1:] = lengths[parents] + 1
        D = find_discounts(arrays["ngrams.histogram"])[lengths[parents], np.minimum(w, 3) - 1]
        total = np.maximum(np.bincount(parents, w, contexts) + others, 1)
        self.share = np.append(0, np.maximum(w - D, 0) / total[parents])
        self.rest = 1 - np.bincount(parents, self.share[1:], contexts)

    def start(self, B):
        """Return the nodes of the last 0, 1, … n characters (B, n + 1) of empty texts; -1 is no node."""
        return np.tile(np.array([0] + [-1] * self.n, np.int64), (B, 1))

    def read(self, nodes, x):
        """Return the nodes after one more character of each text, x (B,)."""
        is_beyond = (x[:, None] == self.feed) & (np.arange(self.n) > 0)  # no context begins before a line
        parents = np.where(is_beyond, -1, nodes[:, :-1])
        keys = parents * self.K + x[:, None]
        places = np.searchsorted(self.keys, keys)
        children = np.where((parents >= 0) & (self.keys[places] == keys), places + 1, -1)
        return np.hstack([np.zeros((len(x), 1), int), children])

    def predict(self, nodes):
        """Return log q (B, K) after the longest context that has children, and the matched length (B,), its length."""
        q, matched = np.full((len(nodes), self.K), 1 / self.K), np.zeros(len(nodes), int)
        for row, contexts in enumerate(nodes):
            for o, node in enumerate(contexts):
                if not 0 <= node < len(self.first) - 1 or self.first[node] == self.first[node + 1]:
                    break
                children = slice(self.first[node], self.first[node + 1])
                q[row] *= self.rest[node]
                q[row, self.symbols[children]] += self.share[children]
                matched[row] = o
        return np.log(np.maximum(q, 1e-7)), matched


def unpack(words, width, count):
    """Return `count` fields of `width` bits of words of 64 bits, the lowest bits first."""
    bits = np.unpackbits(words.astype("<i8").view(np.uint8), count=count * width, bitorder="little")
    return sum(bits[place::width].astype(np.int64) << place for place in range(width))


def find_discounts(histogram):
    """Return the discounts of counts of 1, 2 and more after contexts of 0 … n characters, (n + 1, 3)."""
    n1, n2, n3, n4 = np.maximum(histogram, 1).T  # the numbers of strings with counts of 1, 2, 3 and 4
    y = n1 / (n1 + 2 * n2)  # Chen and Goodman (1999)
    D = np.clip(np.stack([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3], axis=1), 0, [1, 2, 3])
    D[histogram.min(axis=1) < 20] = 0.6, 0.9, 1.2
    return D


DATA = """"""
model = Model(io.BytesIO(gzip.decompress(base64.b64decode(DATA)))) if DATA else None
