"""The commands, one module per command, and their exit codes other than 0."""

from contextvars import ContextVar

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

STARTED: ContextVar[float | None] = ContextVar("STARTED", default=None)
"""When the command started, by `time.monotonic`."""
