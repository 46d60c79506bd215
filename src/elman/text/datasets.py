"""The built-in corpora: a name in place of a file.

``python-docs``
    The language reference and other topics behind Python's own ``help()``, from the standard
    library's `pydoc_data.topics`: every topic's text in sorted order of the topics' names, with a
    line feed between them (each ends with one, so a blank line parts them). Nothing is downloaded.
    The topics grow with Python, so runs compare only within one minor version of it.
``shakespeare``
    A million characters of Shakespeare's plays, as published with Karpathy's char-rnn. Downloaded
    once, checked against a known SHA-256, and kept in the user's cache (`ELMAN_CACHE`, or where the
    system keeps caches).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elman.errors import ElmanError
from elman.paths import cache_dir

_SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def builtin_bytes(name: str) -> bytes:
    """Return a built-in corpus as UTF-8.

    Parameters
    ----------
    name : str
        A key of `BUILTIN`.

    Raises
    ------
    ElmanError
        If the corpus has to be downloaded and cannot be.
    """
    return BUILTIN[name]()


def _python_docs() -> bytes:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics)).encode("utf-8")


def _shakespeare() -> bytes:
    return _fetch(_SHAKESPEARE_URL, _SHAKESPEARE_SHA256, cache_dir() / "shakespeare.txt")


def _fetch(url: str, sha256: str, path: Path) -> bytes:
    """Return the bytes of `path`, downloaded from `url` unless they are there already.

    Raises
    ------
    ElmanError
        If there is no network, or what came does not have the given SHA-256; `path` is then as it
        was before.
    """
    # Imported here because it is slow to import and only this one corpus needs it.
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent)
    except ValueError:
        reason = "its SHA-256 is not the known one"
    except OSError as error:  # requests' own errors among them
        reason = type(error).__name__
    else:
        return path.read_bytes()
    raise ElmanError(
        f"cannot fetch {url} ({reason}): train on a file of your own or on python-docs, or put the file at {path}"
    )


BUILTIN: dict[str, Callable[[], bytes]] = {
    "python-docs": _python_docs,
    "shakespeare": _shakespeare,
}
