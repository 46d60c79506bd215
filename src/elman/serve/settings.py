"""What a server may be told: whom it answers, and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """Limits and manners of a server.

    Parameters
    ----------
    hosts : tuple of str
        The names that it answers to, without a port; every other ``Host`` is refused, so that a page which turns its
        own name into this machine's address (DNS rebinding) gets nothing.
    any_address : bool
        Answer to every numerical address as well: no page can turn one of those into another.
    api_key : str, optional
        What a client must show.
    max_tokens : int
        Characters of one text, at most.
    max_characters : int
        Characters of one request, at most: its prompts, and all that is to be written.
    max_body : int
        Bytes of a request's body, at most.
    streams : int
        Texts that one model writes at a time.
    queue : int
        Requests that may wait for their turn, beyond as many as there are streams.
    body_seconds : float
        How long a client may take to send a body.
    stall_seconds : float
        How long a client may take nothing of a stream before it counts as gone.
    """

    hosts: tuple[str, ...] = LOOPBACK_NAMES
    any_address: bool = False
    api_key: str | None = None
    max_tokens: int = 10_000
    max_characters: int = 100_000
    max_body: int = 1 << 20
    streams: int = 64
    queue: int = 1000
    body_seconds: float = 30.0
    stall_seconds: float = 30.0
