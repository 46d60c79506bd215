"""Load test of `elman serve`: concurrent clients, more clients than the batch holds, and minutes of mixed load.

python benchmarks/serving.py                load test, into results/serving.json
python benchmarks/serving.py --soak 10      10 minutes of mixed load and the server's memory, into the same file

The server and the clients share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLIENTS, CROWD, LENGTH, SECONDS = 64, 500, 1000, 20
RESULTS = Path(__file__).parent / "results" / "serving.json"
PROMPT = "The "


@dataclass
class Client(asyncio.Protocol):
    """One request over one connection: when it was sent, when the first text arrived, and the response."""

    request: bytes
    leave_after: int | None = None
    """Bytes after which the client disconnects."""
    sent: float = 0.0
    first: float | None = None
    received: list[bytes] = field(default_factory=list)
    size: int = 0

    def __post_init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.sent = transport, time.perf_counter()
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.first is None and (b"data: " in data or b'"text"' in data):
            self.first = time.perf_counter()
        self.received.append(data)
        self.size += len(data)
        if self.leave_after is not None and self.size >= self.leave_after:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)

    def characters(self) -> int:
        """Return the number of characters received, or -1 if the response is incomplete."""
        head, _, body = b"".join(self.received).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return -1
        lines = [line for line in body.split(b"\n") if line.startswith(b"data: ")]
        if not lines or lines[-1].strip() != b"data: [DONE]":
            return -1
        return sum(len(choice["text"]) for line in lines[:-1] for choice in json.loads(line[6:])["choices"])


def request(model: str, **arguments: Any) -> bytes:
    """Return a request for a stream, the only request of its connection."""
    body = json.dumps({"model": model, "prompt": PROMPT, "stream": True} | arguments).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def send_request(port: int, data: bytes, leave_after: int | None = None) -> Client:
    """Send a request, and return its client when the connection is closed."""
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(data, leave_after), "127.0.0.1", port)
    await client.ended
    return client


def summarize(clients: list[Client], seconds: float) -> dict[str, Any]:
    """Return throughput and latencies of clients."""
    characters = [client.characters() for client in clients]
    waits = sorted(1000 * (client.first - client.sent) for client in clients if client.first is not None)
    return {
        "requests": len(clients),
        "lost": sum(count < 0 for count in characters),
        "chars_per_second": round(sum(max(count, 0) for count in characters) / seconds),
        "first_character_ms": {
            "median": round(statistics.median(waits), 1),
            "p99": round(waits[int(0.99 * (len(waits) - 1))], 1),
            "max": round(waits[-1], 1),
        },
    }


async def crowd(port: int, model: str, count: int, length: int) -> dict[str, Any]:
    """Measure many clients that connect at the same time."""
    began = time.perf_counter()
    requests = (request(model, max_tokens=length, seed=n) for n in range(count))
    clients = await asyncio.gather(*(send_request(port, data) for data in requests))
    seconds = time.perf_counter() - began
    return {"clients": count, "max_tokens": length} | summarize(clients, seconds)


async def steady(port: int, model: str) -> dict[str, Any]:
    """Measure clients that each send their next request as soon as the last is answered."""
    began, clients = time.perf_counter(), list[Client]()

    async def one(seed: int) -> None:
        while time.perf_counter() < began + SECONDS:
            clients.append(await send_request(port, request(model, max_tokens=LENGTH, seed=seed)))

    await asyncio.gather(*(one(n) for n in range(CLIENTS)))
    return {"clients": CLIENTS, "max_tokens": LENGTH} | summarize(clients, time.perf_counter() - began)


async def soak(port: int, model: str, pid: int, minutes: float) -> dict[str, Any]:
    """Measure the server's memory under mixed load: streams, log-probabilities, clients that disconnect."""
    began, counts, memory = time.perf_counter(), {"requests": 0, "left": 0, "lost": 0}, list[float]()
    until = began + 60 * minutes

    async def one(generator: random.Random) -> None:
        while time.perf_counter() < until:
            leaves = generator.random() < 0.1
            logprobs = 5 if generator.random() < 0.1 else None
            data = request(model, max_tokens=generator.randrange(1, 4000), logprobs=logprobs, stop=["\n\n\n"])
            client = await send_request(port, data, generator.randrange(20_000) if leaves else None)
            counts["requests"] += 1
            counts["left" if leaves else "lost"] += leaves or client.characters() < 0

    async def sample_memory() -> None:
        while time.perf_counter() < until:
            memory.append(resident(pid))
            await asyncio.sleep(10)

    await asyncio.gather(sample_memory(), *(one(random.Random(n)) for n in range(CLIENTS)))
    sixth = max(len(memory) // 6, 1)
    parts = [round(statistics.mean(memory[n : n + sixth]), 1) for n in range(0, len(memory), sixth)]
    return {"clients": CLIENTS, "minutes": minutes} | counts | {"resident_mib_in_sixths": parts}


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def server() -> Iterator[tuple[int, str, int]]:
    """Serve a briefly trained network for the duration of the block; yields port, model name and process id."""
    with tempfile.TemporaryDirectory() as folder:
        elman = [sys.executable, "-m", "elman"]
        options = ["--preset", "reference", "--max-updates", "20000", "--json"]
        subprocess.run([*elman, "train", "python-docs", "--out", "m100", *options], cwd=folder, check=True)
        command = [*elman, "serve", "m100", "--port", "0"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().partition("127.0.0.1:")[2].split()[0])
            yield port, "m100", process.pid
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0


def main() -> None:
    """Measure, print, and update the results."""
    from speed import machine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    minutes = parser.parse_args().soak
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    with server() as (port, model, pid):
        if minutes is not None:
            found["soak"] = asyncio.run(soak(port, model, pid, minutes))
        else:
            asyncio.run(crowd(port, model, 8, 100))  # warm-up
            found |= {
                "machine": machine(),
                "at_once": asyncio.run(crowd(port, model, CLIENTS, 10 * LENGTH)),
                "steady": asyncio.run(steady(port, model)),
                "crowd": asyncio.run(crowd(port, model, CROWD, LENGTH)),
            }
    print(json.dumps(found, indent=1))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
