"""Continuous batching: sequences do not depend on their batch, wait in order, and can be cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from elman.apps.serve import batcher
from elman.apps.serve.batcher import MAX_UNSENT
from elman.apps.serve.completions import create_job
from elman.apps.serve.models import ServedModel
from elman.apps.serve.requests import CompletionRequest, create_request_types, validate
from elman.apps.serve.responses import APIError
from elman.apps.serve.sequence import GenerationJob, compute_logprobs, concatenate_logprobs
from elman.apps.serve.settings import Settings
from elman.engine.protocol import Indices
from elman.jit.runtime import Kernel
from elman.model import Model
from elman.network import list_sampling_options
from elman.network.parameters import Array
from elman.network.state import State
from elman.ngram.language_model import NgramReader
from elman.ngram.model import NgramModel
from elman.text import Corpus
from support import tolerances as tolerances
from support.cells import COMPILED_CELLS
from support.server import NAME, tiny
from support.state import TEXT, T
from support.training import train

LIMITS = Settings(max_tokens=100_000, max_characters=10**6)
ENDLESS = {"max_tokens": 10**8, "max_characters": 10**9}
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


SMALL: dict[str, Any] = {"hidden_size": 9, "seq_length": T, "epochs": 5}
# The BLAS of the reference rounds by the number of texts; in float64 no number drawn falls between two roundings.
KINDS = [*({"cell": cell, "layers": 2} for cell in COMPILED_CELLS), {"dtype": "float64", "engine": "numpy"}]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def model(request: pytest.FixtureRequest) -> Model:
    return train(Corpus.from_text(TEXT), **SMALL, **request.param).model


@asynccontextmanager
async def batching(model: Model, **limits: Any) -> AsyncIterator[ServedModel]:
    """Return a served model, whose batcher is closed after the block; the block may take a minute."""
    served = ServedModel(NAME, model, replace(LIMITS, **limits))
    try:
        async with asyncio.timeout(60):
            yield served
    finally:
        served.batcher.close()


def prepare(served: ServedModel, prompt: Any = "the ", **arguments: Any) -> GenerationJob:
    types = create_request_types({NAME: served.model}, served.settings)
    body = validate({"prompt": prompt} | arguments, types[CompletionRequest])
    return create_job(served, body, [served.encode(each) for each in body.prompts])


def begin(served: ServedModel, prompt: Any = "the ", **arguments: Any) -> GenerationJob:
    job = prepare(served, prompt, **arguments)
    served.batcher.submit(job)
    return job


async def finished(job: GenerationJob) -> list[str]:
    texts = [""] * len(job.sequences)
    async for deltas in job.deltas():
        for delta in deltas:
            texts[delta.index] += delta.text
    return texts


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# --- Batches ---


async def test_a_sequence_does_not_depend_on_the_others(model: Model) -> None:
    async with batching(model) as served:
        asks: list[dict[str, Any]] = [
            {"prompt": TEXT[: 3 * n % 40 + 1], "seed": n, "max_tokens": 20 * n % 550 + 1, "temperature": 0.2 * (n % 7)}
            for n in range(40)
        ]
        alone = [await finished(begin(served, **ask)) for ask in asks]
        jobs = []
        for n, ask in enumerate(asks):
            jobs.append(begin(served, **ask))
            if n % 9 == 0:
                await asyncio.sleep(0.003)  # some are being written when others come
        together = await asyncio.gather(*map(finished, jobs))
        assert list(together) == alone


async def test_log_probabilities_do_not_depend_on_the_others(model: Model) -> None:
    async def collected(job: GenerationJob) -> list[np.ndarray[Any, Any]]:
        deltas = [delta async for batch in job.deltas() for delta in batch]
        known = [delta.logprobs for delta in deltas if delta.logprobs]
        return [*concatenate_logprobs(known)]

    async with batching(model) as served:
        asks = [{"prompt": TEXT[:20], "seed": n, "max_tokens": 50, "logprobs": 3, "echo": True} for n in range(6)]
        alone = [await collected(begin(served, **ask)) for ask in asks]
        beside = begin(served, "", max_tokens=5000)
        together = await asyncio.gather(*(collected(begin(served, **ask)) for ask in asks))
        beside.fail(ClientDisconnect())
        for one, other in zip(alone, together, strict=True):
            for array, same in zip(one, other, strict=True):
                # The reference multiplies as many rows as it is given at a time, and BLAS rounds by their number.
                tolerance = tolerances.COMPILED if model.engine.name == "numpy" else 0
                np.testing.assert_allclose(array, same, rtol=tolerance)


async def test_a_long_prompt_is_read_in_chunks(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TEXT * 4
    async with batching(model) as served:
        whole = await finished(begin(served, prompt, seed=1, max_tokens=80))
        for limit in (1, 26 * 16 * 7):  # parts of one character, and of at most seven
            monkeypatch.setattr(batcher, "MAX_LOGITS", limit)
            assert await finished(begin(served, prompt, seed=1, max_tokens=80)) == whole
        beside = [begin(served, prompt[:n], seed=1, max_tokens=80) for n in (1, 2, 8, 30, len(prompt))]
        assert (await asyncio.gather(*map(finished, beside)))[-1] == whole
        assert whole == model.samples(1, 80, prompt=prompt, seed=1, temperature=1)


async def test_a_prompt_is_read_once_for_all_of_its_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    async with batching(tiny()) as served:
        read, logits = list[tuple[int, ...]](), served.batcher._prompt_session.logits

        def record(state: State, x: Indices) -> tuple[Array, State]:
            read.append(x.shape)
            return logits(state, x)

        with monkeypatch.context() as patched:
            patched.setattr(served.batcher._prompt_session, "logits", record)
            found = await finished(begin(served, TEXT, n=16, max_tokens=9, echo=True, seed=1))
        assert (sum(n for n, _ in read), {size for _, size in read}) == (len(TEXT) - 1, {1})
        assert found == [TEXT + text for text in tiny().samples(16, 9, prompt=TEXT, seed=1, temperature=1)]


# --- Scheduling ---


async def test_sequences_wait_in_order_of_arrival() -> None:
    async with batching(tiny(), max_batch_size=1) as served:
        ended = list[int]()

        async def one(n: int, job: GenerationJob) -> None:
            await finished(job)
            ended.append(n)

        await asyncio.gather(*(one(n, begin(served, max_tokens=100)) for n in range(20)))
        assert ended == list(range(20))


async def test_a_client_that_stops_reading_pauses_its_own_sequence() -> None:
    async with batching(tiny()) as served:
        slow = begin(served, max_tokens=50_000)
        (sequence,) = slow.sequences
        await until(lambda: sequence.emitted - sequence.sent >= MAX_UNSENT)
        assert len((await finished(begin(served, max_tokens=5000)))[0]) == 5000
        assert sequence.emitted < MAX_UNSENT + batcher.MAX_STEP
        assert len((await finished(slow))[0]) == 50_000


async def test_a_client_that_stops_reading_frees_its_slots() -> None:
    async with batching(tiny(), max_batch_size=2) as served:
        # One of them pauses while it reads.
        stalled = [begin(served, TEXT * n, n=3, max_tokens=9000, echo=True) for n in (1, 60)]
        assert len((await finished(begin(served, max_tokens=300)))[0]) == 300
        await until(lambda: served.batcher.running_count() == 0)
        lengths = [[len(text) for text in await finished(job)] for job in stalled]
        assert lengths == [[9000 + n * len(TEXT)] * 3 for n in (1, 60)]


async def test_a_waiting_job_that_is_cancelled_is_not_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_UNSENT", ENDLESS["max_tokens"])
    async with batching(tiny(), max_batch_size=1, **ENDLESS) as served:
        running = begin(served, max_tokens=ENDLESS["max_tokens"])
        gone = [begin(served, n=n) for n in (1, 1, 3, 5)]
        await until(lambda: served.batcher.waiting_count() == 10)
        for job in gone:
            job.fail(ClientDisconnect())
        last = begin(served)
        running.fail(ClientDisconnect())
        assert len((await finished(last))[0]) == 16
        with pytest.raises(ClientDisconnect):
            await finished(running)
        assert all(sequence.emitted == 0 for job in gone for sequence in job.sequences)


async def test_no_request_needs_a_kernel_that_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option of sampling, alone and all together, log-probabilities and the counts of a prompt."""
    used, find = set[tuple[str, tuple[str, ...]]](), Kernel.find

    def record(kernel: Kernel, kinds: tuple[str, ...]) -> Any:
        used.add((kernel.name, kinds))
        return find(kernel, kinds)

    monkeypatch.setattr(Kernel, "find", record)
    model = train(Corpus.from_text(TEXT), hidden_size=6, seq_length=T, ngram_order=3, max_updates=5).model
    used.clear()
    async with batching(model) as served:
        prepared = {*used}
        examples: dict[str, Any] = {each.name: each.example for each in list_sampling_options()}
        asks = [{name: value} for name, value in examples.items()] + [examples, {"logprobs": 3, "echo": True}]
        for ask in [*asks, {"adapt": "counts"}]:
            for n in (1, 3):
                await finished(begin(served, TEXT[:30], n=n, max_tokens=20, **ask))
    assert used - prepared == set()


# --- Failure and shutdown ---


async def test_a_failure_ends_running_jobs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with batching(tiny()) as served:
        with monkeypatch.context() as patched:
            patched.setattr(served.batcher._session, "generate", lambda *_: 1 / 0)
            with pytest.raises(APIError, match=r"^generation failed; see the server's log$"):
                await finished(begin(served, n=3))
        assert len((await finished(begin(served)))[0]) == 16
    assert "ZeroDivisionError" in caplog.text


async def test_closing_fails_all_jobs() -> None:
    async with batching(tiny(), max_batch_size=2) as served:
        jobs = [begin(served, max_tokens=50_000) for _ in range(5)]
        await asyncio.to_thread(served.batcher.close)
        assert "elman-batcher" not in [thread.name for thread in threading.enumerate()]
        for job in jobs:
            with pytest.raises(APIError, match=r"^the server is shutting down; retry later$"):
                await finished(job)


def test_a_closed_event_loop_is_ignored() -> None:
    served = ServedModel(NAME, tiny(), LIMITS)

    async def abandon() -> None:
        begin(served, max_tokens=50_000)

    async def test() -> None:
        assert len((await finished(begin(served)))[0]) == 16

    asyncio.run(abandon())
    asyncio.run(asyncio.wait_for(test(), 60))
    served.batcher.close()


async def test_it_sleeps_without_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async with batching(tiny()) as served:
        await finished(begin(served))
        await until(lambda: served.batcher._inbox.empty() and not served.batcher._running)
        steps = list[int]()
        monkeypatch.setattr(served.batcher, "_step", lambda: steps.append(1))
        await asyncio.sleep(0.2)
        assert len(steps) <= 1  # that for which it was woken last


# --- Components ---


@settings(deadline=None)
@given(n=st.integers(1, 5), K=st.integers(1, 9), k=st.integers(0, 12), seed=st.integers(0, 99))
def test_the_most_likely_characters(n: int, K: int, k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    o, characters = generator.normal(0, 30, (n, K)), generator.integers(0, K, n)
    found = compute_logprobs(o, characters, k)
    log_p = o - np.logaddexp.reduce(o, axis=1, keepdims=True)
    order = np.argsort(-o, axis=1)[:, :k]
    np.testing.assert_array_equal(found.top, order)
    np.testing.assert_allclose(found.top_logprobs, np.take_along_axis(log_p, order, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.logprobs, log_p[np.arange(n), characters], rtol=1e-12, atol=1e-12)


# --- Counted prompts ---

LONG = "the rain went out on the wet and windy hill, and the lamp "


def counting() -> Model:
    return train(Corpus.from_text(TEXT + LONG), cell="gru", ngram_order=4, ngram_folds=2, **SMALL).model


@pytest.mark.parametrize("prompt", [LONG, "th", "t", ""])
async def test_a_counted_prompt_changes_its_own_text_only(prompt: str) -> None:
    model, jobs, found = counting(), dict[bool, GenerationJob](), dict[bool, list[str]]()
    async with batching(model) as served:
        for adaptation in ({"adapt": "counts"}, {}):
            jobs[bool(adaptation)] = begin(served, prompt, max_tokens=60, seed=1, n=7, logprobs=1, **adaptation)
        for is_counted, job in jobs.items():
            deltas = [delta async for batch in job.deltas() for delta in batch]
            texts = ["".join(delta.text for delta in deltas if delta.index == index) for index in range(7)]
            logprobs = np.concatenate([delta.logprobs.logprobs for delta in deltas if delta.logprobs])
            assert (len(logprobs), np.isfinite(logprobs).all()) == (7 * 60, True)
            found[is_counted] = texts
    assert found[True] == model.samples(7, 60, prompt=prompt, seed=1, adapt="counts", temperature=1)
    assert found[False] == model.samples(7, 60, prompt=prompt, seed=1, temperature=1)
    assert (found[True] != found[False]) == (len(prompt) > 1)


async def test_the_counts_of_few_prompts_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tables, concurrent = counting(), WeakSet[NgramReader](), list[int]()
    create = NgramReader.__init__

    def create_counted(reader: NgramReader, ngrams: NgramModel) -> None:
        create(reader, ngrams)
        if ngrams.base is not None:
            tables.add(reader)
            concurrent.append(len(tables))

    monkeypatch.setattr(NgramReader, "__init__", create_counted)
    async with batching(model, max_batch_size=9) as served:
        stalled = begin(served, LONG, max_tokens=20_000, n=2, adapt="counts")
        job = begin(served, [LONG[:n] for n in range(30, 42)], max_tokens=30, n=5, adapt="counts")
        await finished(job)
        await until(lambda: not tables)  # while the jobs still exist
        assert (len(concurrent), max(concurrent)) == (13, batcher.MAX_COUNTED_PROMPTS)
        left = begin(served, LONG, max_tokens=LIMITS.max_tokens, n=2, adapt="counts")
        await until(lambda: len(tables) == 1)
        left.fail(ClientDisconnect())
        await until(lambda: not tables)
        assert [len(text) for text in await finished(stalled)] == [20_000] * 2
