"""Built-in texts, named in place of a file.

``python-docs``
    The language reference and other topics behind Python's own ``help()``, from the standard
    library's `pydoc_data.topics`: the texts of all topics in sorted order of their names, joined by
    a line feed (each ends with one, so they are separated by a blank line). Nothing is downloaded.
    The topics grow with Python, so runs are comparable only within one minor version of it.
``shakespeare``
    Tiny Shakespeare: a million characters of Shakespeare's plays, as published with Karpathy's
    char-rnn. Downloaded once, verified by its SHA-256, and cached (in `ELMAN_CACHE`, or in the
    system's cache directory).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elman.errors import ElmanError
from elman.storage import cache_dir

_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def _python_docs() -> bytes:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")


def _shakespeare() -> bytes:
    return _fetch(_SHAKESPEARE_URL, _SHAKESPEARE_SHA256, cache_dir() / "shakespeare.txt")


def _fetch(url: str, sha256: str, path: Path) -> bytes:
    """Return the bytes of `path`, downloaded from `url` unless the file exists.

    Raises
    ------
    ElmanError
        If the download fails or does not have the given SHA-256; `path` is then unchanged.
    """
    # Imported here because it is slow to import and only this text needs it.
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent)
    except ValueError:
        reason = "SHA-256 mismatch"
    except OSError as error:  # including those of requests
        reason = type(error).__name__
    else:
        return path.read_bytes()
    raise ElmanError(f"cannot download {url} ({reason}): use your own file or python-docs, or save the file as {path}")


BUILTIN_CORPORA: dict[str, Callable[[], bytes]] = {
    "python-docs": _python_docs,
    "shakespeare": _shakespeare,
}
"""Name -> a function that returns the text as UTF-8 bytes; it raises `ElmanError` if a download fails."""
