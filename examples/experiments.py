"""Experiments for lectures: each is a function that trains for about a minute of CPU time and draws into `axes`.

    python examples/experiments.py FOLDER [NAME] [SEED]

draws all of them, or one, as PNG. It needs `elman[plot]`.
"""

import re
import sys
from itertools import accumulate
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import elman
from elman.runs import COLOURS
from elman.text import read_corpus

BASE = {
    "preset": "reference", "optimizer": "adam", "learning_rate": 0.002, "grad_clip": 1.0, "grad_clip_mode": "norm",
    "batch_size": 20, "epochs": 1000, "sample_every": 0, "metrics_every": 10**9, "progress": False,
}  # fmt: skip
CELLS = {"rnn": COLOURS[0], "gru": COLOURS[2], "lstm": COLOURS[1]}
plt.rcParams.update({
    "axes.prop_cycle": plt.cycler(color=COLOURS), "axes.spines.top": False, "axes.spines.right": False,
    "axes.xmargin": 0, "axes.grid": True, "grid.alpha": 0.25, "figure.figsize": (7, 4), "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
})  # fmt: skip


def train(text="python-docs", updates=2000, rows=20, **options):
    """Return a run with `rows` validations on the last tenth of the text."""
    settings = BASE | {"max_updates": updates, "validation": 0.1, "validate_every": updates // rows} | options
    return elman.train(text, **settings)


def curve(run):
    """Return the updates and the validation losses of a run, in nats per character."""
    rows = [row for row in run.metrics if row.validation_loss is not None]
    return np.array([row.update for row in rows]), np.array([row.validation_loss for row in rows])


def name_lines(axes):
    """Write the name of each line beside its end, in its colour."""
    axes.autoscale_view()
    heights, lowest = axes.transData + axes.transAxes.inverted(), -1
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    for line in sorted(lines, key=lambda line: line.get_ydata()[-1]):
        lowest = max(heights.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1], lowest + 0.06)
        axes.text(1.02, lowest, line.get_label(), color=line.get_color(), va="center", transform=axes.transAxes)


# %% Truncation: the same two million characters, the gradient cut after T steps
def truncation(axes, seed=400):
    losses = {}
    for T in (1, 5, 25, 100):
        updates, loss = curve(train(updates=100_000 // T, seq_length=T, seed=seed))
        losses[T] = loss[-1]
        axes.plot(updates * T * 20 / 1e6, loss, label=f"T = {T}")
    axes.set(xlabel="million characters", ylabel="validation loss, nats per character", ylim=(1.5, 2.4))
    return losses


# %% Vanishing and exploding gradients: the norm of dL/dh_t, k steps before the loss
def gradient_flow(axes, seed=400, m=100, steps=60):
    generator, norms = np.random.default_rng(seed), {}
    for radius in (0.5, 1.0, 1.5, 3.0):
        W, h, d = generator.normal(0, radius / np.sqrt(m), (m, m)), *generator.normal(size=(2, m))
        h = list(accumulate(range(steps), lambda h, _: np.tanh(W @ h), initial=h))  # noqa: B023
        d = list(accumulate(h[:0:-1], lambda d, h: W.T @ ((1 - h**2) * d), initial=d))  # noqa: B023
        norms[radius] = np.linalg.norm(d, axis=1) / np.linalg.norm(d[0])
        axes.semilogy(norms[radius], label=f"spectral radius {radius:g}")
    axes.set(xlabel="k, steps back", ylabel="norm of dL/dh$_{t-k}$, relative to k = 0")
    return {radius: norm[-1] for radius, norm in norms.items()}


# %% Clipping: the same network and learning rate, with and without it
def clipping(axes, seed=400):
    worst = {}
    for limit, label in ((1.0, "norm at most 1"), (1e9, "not clipped")):
        run = train(updates=300, optimizer="sgd", learning_rate=0.1, grad_clip=limit, metrics_every=1, seed=seed)
        losses = np.array([row.loss for row in run.metrics])
        worst[label] = losses[100:].mean()
        axes.plot(losses, label=label)
    axes.set(xlabel="update", ylabel="training loss, nats per character", yscale="log")
    return worst


# %% Optimizers
def optimizers(axes, seed=400):
    losses = {}
    for name, rate in (("sgd", 0.1), ("adagrad", 0.05), ("rmsprop", 0.002), ("adam", 0.002)):
        updates, loss = curve(train(updates=4000, optimizer=name, learning_rate=rate, seed=seed))
        losses[name] = loss[-1]
        axes.plot(updates, loss, label=f"{name}, {rate}")
    axes.set(xlabel="update", ylabel="validation loss, nats per character", ylim=(1.5, 2.4))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return losses


# %% Temperature: how many words of a sample occur in the text, and how many differ from all before
def temperature(axes, seed=400):
    words, temperatures = re.findall("[a-z]+", read_corpus("python-docs").text.lower()), np.linspace(0.2, 2, 10)
    known, model = set(words), train(elman.Corpus.from_text(" ".join(words)), rows=1, seed=seed).model
    fractions = []
    for value in temperatures:
        samples = [model.sample(5000, prompt="the ", temperature=float(value), seed=n).split()[:200] for n in range(5)]
        fractions.append([np.mean([[word in known for word in words] for words in samples])])
        fractions[-1].append(np.mean([len(set(words)) / len(words) for words in samples]))
    axes.plot(temperatures, fractions, label=["words of the text", "distinct words"])
    axes.set(xlabel="temperature", ylabel="fraction of 200 words, mean of five samples", ylim=(0, 1))
    return np.array(fractions)


# %% A key to remember: a key, 1 to 40 random letters, a question mark, and the key again.
def recall(model, keys, longest):
    """Return the fraction of keys that a model predicts after a question mark, for gaps of 1 to `longest` letters."""
    letters, right = np.random.default_rng(0).choice(list("abcd"), (longest, len(keys))), []
    state, _ = model.step(model.start(len(keys)), "\n" * len(keys))  # a key follows the end of a line
    state, _ = model.step(state, "".join(keys))
    for row in letters:
        state, _ = model.step(state, "".join(row))
        log_p = model.step(state, "?" * len(keys))[1]
        right.append(np.mean(np.array(list(model.alphabet.characters))[log_p.argmax(axis=1)] == keys))
    return np.array(right)


def key_lines(seed, longest):
    """Return 20,000 keys, and the text of their lines."""
    generator = np.random.default_rng(seed)
    keys = generator.choice(list("ABCDEFGH"), 20_000)
    gaps = ("".join(generator.choice(list("abcd"), generator.integers(1, longest + 1))) for _ in keys)
    lines = (f"{key}{letters}?{key}\n" for key, letters in zip(keys, gaps, strict=True))
    return keys, elman.Corpus.from_text("".join(lines))


def gap(axes, seed=400, longest=40):
    (keys, text), fractions = key_lines(seed, longest), {}
    options = {"updates": 4000, "seq_length": 64, "hidden_size": 64, "learning_rate": 0.005}
    for cell, color in CELLS.items():
        runs = [train(text, cell=cell, seed=seed + n, rows=1, **options) for n in range(3)]
        curves = np.array([recall(run.model, keys[:500], longest) for run in runs])
        axes.plot(range(1, longest + 1), curves.T, color=color, alpha=0.3, linewidth=1)
        axes.plot(range(1, longest + 1), curves.mean(axis=0), color=color, linewidth=2.5, label=cell.upper())
        fractions[cell] = curves[:, -10:].mean(axis=1)
    axes.set(xlabel="letters between the key and the question mark", ylabel="fraction of correct keys", ylim=(0, 1.03))
    return fractions


# %% Overfitting: a text of 20,000 characters
def overfitting(axes, seed=400):
    text = elman.Corpus.from_text(read_corpus("python-docs").text[:20_000])
    run = train(text, 2500, 50, cell="gru", hidden_size=200, metrics_every=20, seed=seed)
    updates, loss = curve(run)
    axes.plot([row.update for row in run.metrics], [row.loss for row in run.metrics], label="training")
    axes.plot(updates, loss, label="validation")
    axes.axvline(updates[loss.argmin()], color="0.5", linestyle=":")
    axes.text(updates[loss.argmin()], 3.7, " lowest validation loss", color="0.4")
    axes.set(xlabel="update", ylabel="loss, nats per character", ylim=(0, 4))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return {"best": loss.min(), "last": loss[-1], "training": run.metrics[-1].loss}


# %% Exposure bias: after 300 characters of a repeated text, the network reads on, or reads what it writes itself
def predict(model, texts, steps, reads_text):
    """Return the fraction of correct predictions after each step; `texts` has a row per step, and repeats."""
    state, guess, right = model.start(texts.shape[1]), None, []
    for t in range(steps):
        read = texts[t % len(texts)] if t < len(texts) or reads_text else guess
        state, log_p = model.step(state, "".join(read))
        guess = np.array(list(model.alphabet.characters))[log_p.argmax(axis=1)]
        right.append((guess == texts[(t + 1) % len(texts)]).mean())
    return np.array(right[len(texts) :])


def exposure(axes, seed=400, period=300):
    letters, fractions = np.random.default_rng(seed).choice(list("abcdefghij"), period), {}
    model = train(elman.Corpus.from_text("".join(letters) * 100), 350, hidden_size=64, seed=seed).model
    texts = np.array([np.roll(letters, -n) for n in range(period)]).T
    for label in ("reads the text", "reads its output"):
        fractions[label] = predict(model, texts, 2 * period, label == "reads the text")
        axes.plot(fractions[label], label=label)
    axes.axhline(0.1, color="0.5", linestyle=":", label="chance")
    axes.set(xlabel="characters after the first 300", ylabel="fraction of correct characters", ylim=(0, 1))
    return {label: fraction[-100:].mean() for label, fraction in fractions.items()}


EXPERIMENTS = (
    truncation, gradient_flow, clipping, optimizers, temperature, gap, overfitting, exposure,
)  # fmt: skip


def main():
    """Draw the experiments."""
    folder, names, seed = Path(sys.argv[1]), sys.argv[2:3], int(sys.argv[3]) if len(sys.argv) > 3 else 400
    for experiment in EXPERIMENTS:
        if not names or experiment.__name__ in names:
            figure, axes = plt.subplots()
            print(experiment.__name__, experiment(axes, seed=seed), flush=True)
            name_lines(axes)
            figure.savefig(folder / f"experiment_{experiment.__name__}.png")


if __name__ == "__main__":
    main()
