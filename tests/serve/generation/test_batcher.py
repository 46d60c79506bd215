"""Texts written side by side: each as if alone, in its turn, and given up when nobody wants it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.inference import Model
from elman.inference.logprobs import compute_logprobs, concatenate_logprobs
from elman.inference.stop_sequences import StopSequenceFilter
from elman.serve.api.completion_request import asked
from elman.serve.generation import batcher
from elman.serve.generation.batcher import AHEAD
from elman.serve.generation.job import Job
from elman.serve.generation.served_model import Served
from elman.serve.http.errors import Left, Refusal
from elman.serve.settings import Settings
from elman.text import Corpus
from elman.training.train import train
from support import tolerances as tolerances
from support.server import NAME, tiny
from support.state import TEXT, T

LIMITS = Settings(max_tokens=100_000, max_characters=10**6)


def networks() -> dict[str, Model]:
    """Return networks of every kind, in float32 as they usually are; the reference, whose BLAS rounds by the number of
    texts, in float64, so that no number that is drawn falls between two roundings.
    """
    kinds: dict[str, dict[str, Any]] = {
        "rnn": {},
        "gru": {"cell": "gru"},
        "lstm": {"cell": "lstm", "layers": 2},
        "rnn by numpy": {"dtype": "float64", "engine": "numpy"},
    }
    options: dict[str, Any] = {"hidden_size": 9, "seq_length": T, "epochs": 5}
    return {name: train(Corpus.from_text(TEXT), **options, **kind).model for name, kind in kinds.items()}


@pytest.fixture(scope="module", params=["rnn", "gru", "lstm", "rnn by numpy"])
def model(request: pytest.FixtureRequest) -> Model:
    """A network of one kind."""
    return networks()[request.param]


def with_sampler(model: Model, test: Callable[[Served], Coroutine[Any, Any, None]], limits: Settings = LIMITS) -> None:
    """Run a test in an event loop, with a sampler that is closed behind it."""
    served = Served(NAME, model, limits)
    try:
        asyncio.run(asyncio.wait_for(test(served), 60))
    finally:
        served.sampler.close()


def begin(served: Served, prompt: Any = "the ", **arguments: Any) -> Job:
    """Return a job that the sampler has."""
    wanted = asked({"model": NAME, "prompt": prompt} | arguments, served.settings)
    job = served.job(wanted, served.prompts(wanted))
    served.sampler.submit(job)
    return job


async def finished(job: Job) -> list[str]:
    """Return the texts of a job."""
    texts = [""] * len(job.texts)
    async for pieces in job.pieces():
        for piece in pieces:
            texts[piece.index] += piece.text
    return texts


async def until(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not what():
        await asyncio.sleep(0.001)


# --- Side by side ---


def test_a_text_does_not_depend_on_those_beside_it(model: Model) -> None:
    async def test(served: Served) -> None:
        asks: list[dict[str, Any]] = [
            {"prompt": TEXT[: 3 * n % 40 + 1], "seed": n, "max_tokens": 40 * n % 1100 + 1, "temperature": 0.2 * (n % 7)}
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

    with_sampler(model, test)


def test_log_probabilities_do_not_depend_on_those_beside(model: Model) -> None:
    async def collected(job: Job) -> list[np.ndarray[Any, Any]]:
        pieces = [piece async for batch in job.pieces() for piece in batch]
        return [*concatenate_logprobs([piece.rows for piece in pieces if piece.rows])]

    async def test(served: Served) -> None:
        asks = [{"prompt": TEXT[:20], "seed": n, "max_tokens": 50, "logprobs": 3, "echo": True} for n in range(6)]
        alone = [await collected(begin(served, **ask)) for ask in asks]
        beside = begin(served, "", max_tokens=5000)
        together = await asyncio.gather(*(collected(begin(served, **ask)) for ask in asks))
        beside.fail(Left())
        for one, other in zip(alone, together, strict=True):
            for array, same in zip(one, other, strict=True):
                # The reference multiplies as many rows as it is given at a time, and BLAS rounds by their number.
                tolerance = tolerances.COMPILED if model.engine.name == "numpy" else 0
                np.testing.assert_allclose(array, same, rtol=tolerance)

    with_sampler(model, test)


def test_the_parts_of_a_long_prompt_are_the_whole(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = TEXT * 4

    async def test(served: Served) -> None:
        whole = await finished(begin(served, prompt, seed=1, max_tokens=80))
        monkeypatch.setattr(batcher, "NUMBERS", 26 * 16 * 7)  # parts of at most seven characters
        assert await finished(begin(served, prompt, seed=1, max_tokens=80)) == whole
        beside = [begin(served, prompt[:n], seed=1, max_tokens=80) for n in (1, 2, 8, 30, len(prompt))]
        assert (await asyncio.gather(*map(finished, beside)))[-1] == whole
        assert whole == model.samples(1, 80, prompt=prompt, seed=1)

    with_sampler(model, test)


# --- In turn ---


def test_more_texts_than_there_is_room_for() -> None:
    async def test(served: Served) -> None:
        jobs = [begin(served, seed=n, n=3, max_tokens=50 + n) for n in range(30)]
        texts = await asyncio.gather(*map(finished, jobs))
        assert [[len(text) for text in three] for three in texts] == [[50 + n] * 3 for n in range(30)]

    with_sampler(tiny(), test, replace(LIMITS, streams=4))


def test_texts_wait_in_the_order_in_which_they_came() -> None:
    async def test(served: Served) -> None:
        ended = list[int]()

        async def one(n: int, job: Job) -> None:
            await finished(job)
            ended.append(n)

        await asyncio.gather(*(one(n, begin(served, max_tokens=100)) for n in range(20)))
        assert ended == list(range(20))

    with_sampler(tiny(), test, replace(LIMITS, streams=1))


def test_a_client_that_takes_nothing_stops_its_own_text_only() -> None:
    async def test(served: Served) -> None:
        slow = begin(served, max_tokens=50_000)
        (text,) = slow.texts
        await until(lambda: text.ahead >= AHEAD)
        assert len((await finished(begin(served, max_tokens=5000)))[0]) == 5000
        assert text.passed_on < AHEAD + batcher.MOST
        assert len((await finished(slow))[0]) == 50_000

    with_sampler(tiny(), test)


def test_a_client_that_leaves_frees_its_place() -> None:
    async def test(served: Served) -> None:
        leaving = begin(served, n=2, max_tokens=50_000)
        waiting = begin(served, max_tokens=30)
        await until(lambda: (served.sampler.running_count(), served.sampler.waiting_count()) == (2, 1))
        leaving.fail(Left())
        assert len((await finished(waiting))[0]) == 30
        with pytest.raises(Left):
            await finished(leaving)
        await until(lambda: served.sampler.running_count() == 0)

    with_sampler(tiny(), test, replace(LIMITS, streams=2))


def test_who_leaves_while_it_waits_is_not_kept() -> None:
    async def test(served: Served) -> None:
        running = begin(served, max_tokens=50_000)
        gone = [begin(served) for _ in range(10)]
        await until(lambda: served.sampler.waiting_count() == 10)
        for job in gone:
            job.fail(Left())
        last = begin(served)
        running.fail(Left())
        assert len((await finished(last))[0]) == 16
        assert all(text.passed_on == 0 for job in gone for text in job.texts)

    with_sampler(tiny(), test, replace(LIMITS, streams=1))


def test_a_full_queue_is_said_at_once() -> None:
    served = Served(NAME, tiny(), Settings(streams=1, queue=1))
    with served.place(), served.place():
        with pytest.raises(Refusal, match="2 requests are being answered or wait already: ask again later") as raised:
            served.place().__enter__()
        assert raised.value.status == 429
    with served.place():
        assert served.inside == 1
    served.sampler.close()


# --- When it fails or ends ---


def test_a_failure_ends_what_is_written_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(served: Served) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(served.sampler._texts, "generate", lambda *_: 1 / 0)
            with pytest.raises(Refusal, match=r"^writing has failed: see the server's log$"):
                await finished(begin(served, n=3))
        assert len((await finished(begin(served)))[0]) == 16

    with_sampler(tiny(), test)
    assert "ZeroDivisionError" in caplog.text


def test_at_its_end_nobody_is_left_waiting() -> None:
    async def test(served: Served) -> None:
        jobs = [begin(served, max_tokens=50_000) for _ in range(5)]
        await asyncio.to_thread(served.sampler.close)
        for job in jobs:
            with pytest.raises(Refusal, match=r"^the server is ending: ask again later$"):
                await finished(job)

    served = Served(NAME, tiny(), replace(LIMITS, streams=2))
    asyncio.run(asyncio.wait_for(test(served), 60))


def test_a_loop_that_is_gone_stops_nobody() -> None:
    served = Served(NAME, tiny(), LIMITS)

    async def abandon() -> None:
        begin(served, max_tokens=50_000)

    async def test() -> None:
        assert len((await finished(begin(served)))[0]) == 16

    asyncio.run(abandon())
    asyncio.run(asyncio.wait_for(test(), 60))
    served.sampler.close()


def test_it_sleeps_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: Served) -> None:
        await finished(begin(served))
        await until(lambda: served.sampler._mail.empty() and not served.sampler._seats)
        steps = list[int]()
        monkeypatch.setattr(served.sampler, "_step", lambda: steps.append(1))
        await asyncio.sleep(0.2)
        assert len(steps) <= 1  # that for which it was woken last

    with_sampler(tiny(), test)


# --- Its parts ---


@given(
    text=st.text("ab", max_size=40),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_stops_do_not_depend_on_how_a_text_comes_in(text: str, stops: list[str], cuts: list[int]) -> None:
    expected, expected_stopped = whole(text, stops)
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    taking, passed, stopped = StopSequenceFilter(tuple(stops)), "", False
    for n in range(len(borders) - 1):
        part, stopped = taking.feed(text[borders[n] : borders[n + 1]], last=n == len(borders) - 2)
        passed += part
        if stopped:
            break
    assert (passed, stopped) == (expected, expected_stopped)


def whole(text: str, stops: list[str]) -> tuple[str, bool]:
    """Return a text up to the first stop that is complete; of those that end together the longest."""
    for end in range(1, len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, complete))], True
    return text, False


@settings(deadline=None)
@given(n=st.integers(1, 5), K=st.integers(1, 9), k=st.integers(0, 12), seed=st.integers(0, 99))
def test_the_likeliest_characters(n: int, K: int, k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    o, characters = generator.normal(0, 30, (n, K)), generator.integers(0, K, n)
    found = compute_logprobs(o, characters, k)
    log_p = o - np.logaddexp.reduce(o, axis=1, keepdims=True)
    order = np.argsort(-o, axis=1)[:, :k]
    np.testing.assert_array_equal(found.top, order)
    np.testing.assert_allclose(found.top_logprobs, np.take_along_axis(log_p, order, 1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.logprobs, log_p[np.arange(n), characters], rtol=1e-12, atol=1e-12)
