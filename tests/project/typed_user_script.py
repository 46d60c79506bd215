"""A script as a user writes it: type-checked with the tests, where every wrong keyword must be a type error.

``# type: ignore`` without an error is an error itself.
"""

from __future__ import annotations

from pathlib import Path

import elman


class Stops(elman.TrainingCallback):
    def __init__(self, update: int) -> None:
        self.update, self.done = update, 0

    def on_progress(self, run: elman.Run, updates: int) -> None:
        self.done = run.state.update

    def on_validation(self, run: elman.Run, validation_loss: float) -> None:
        print(run.state.update, validation_loss)

    def on_sample(self, run: elman.Run, sample: elman.Sample) -> None:
        print(sample.update, sample.text)

    def should_stop(self) -> bool:
        return self.done >= self.update


def use_everything(folder: Path) -> elman.Run:
    config = elman.Config(hidden_size=4, seq_length=5, engine="numpy", max_updates=20)
    corpus = elman.Corpus.from_text("a cat sat on a mat. " * 20)
    run: elman.Run = elman.train(corpus, out=folder / "run", config=config, learning_rate=0.05, callback=Stops(10))
    tuned = elman.train(corpus, init_from=run, config=config, on_update=lambda run: run.state.update >= 5)
    model: elman.Model = tuned.model
    text: str = model.sample(10, prompt="a ", temperature=0.5, top_k=3, seed=1)
    texts: list[str] = model.samples(["a", "cat"], 10, seed=1, min_p=0.1) + model.samples(2, 10)
    score: elman.Score = model.score(text + "a cat")
    scores: list[elman.Score] = model.score(["a cat", *(text + " a" for text in texts)])
    most_likely: str = next(iter(model.next_char("a ca")))
    total: float = sum(each.nats for each in scores) + float(score.per_char[1:].sum())
    model.save(folder / "model.safetensors")
    saved: elman.SavedRun = elman.open_run(folder / "run")
    print(most_likely, total, saved.config.hidden_size, saved.metrics[-1].loss, saved.samples[0].text)
    return tuned


def use_wrongly(model: elman.Model, corpus: elman.Corpus) -> None:
    elman.trian(corpus)  # type: ignore[attr-defined]
    elman.train(corpus, lr=0.1)  # type: ignore[call-arg]
    elman.train(corpus, hidden_size="large")  # type: ignore[arg-type]
    elman.train(corpus, schedule="linear")  # type: ignore[arg-type]
    elman.Config(hidden=3)  # type: ignore[call-arg]
    model.sample(10, temp=0.5)  # type: ignore[call-arg]
    model.samples(2, topk=3)  # type: ignore[call-arg]
    model.stream(10, sed=1)  # type: ignore[call-arg]
    model.score("text", windows=3)  # type: ignore[call-overload]
    elman.compress("text", model, mode="nothing")  # type: ignore[arg-type]
