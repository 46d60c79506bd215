"""Settings of a server: accepted hosts, the API key, limits and timeouts."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """Access rules and limits of a server.

    Parameters
    ----------
    hosts : tuple of str
        Accepted host names, without a port. Requests with any other ``Host`` are rejected, which prevents DNS
        rebinding: a web page that points its own host name at this machine.
    any_address : bool
        Accept every numerical IP address as ``Host`` as well. A web page cannot rebind an address.
    origins : tuple of str
        Origins of web pages of other sites that may send requests and read the responses (CORS).
    api_key : str, optional
        Key that clients must send; without one, no key is required.
    max_tokens : int
        Maximum number of characters to generate for one sequence.
    max_characters : int
        Maximum number of characters of one request: its prompts and everything to be generated.
    max_body : int
        Maximum size of a request body in bytes.
    max_batch_size : int
        Sequences that one model generates concurrently.
    max_queued_requests : int
        Requests that may wait, in addition to `max_batch_size` requests that are being processed.
    body_timeout : float
        Seconds within which a request body must be received.
    send_timeout : float
        Seconds that a client may stop reading a response before it counts as disconnected.
    """

    hosts: tuple[str, ...] = LOOPBACK_NAMES
    any_address: bool = False
    origins: tuple[str, ...] = ()
    api_key: str | None = None
    max_tokens: int = 10_000
    max_characters: int = 100_000
    max_body: int = 1 << 20
    max_batch_size: int = 64
    max_queued_requests: int = 1000
    body_timeout: float = 30.0
    send_timeout: float = 30.0
