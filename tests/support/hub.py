"""The Hugging Face Hub on loopback: the two requests of a download, HEAD and GET of a file of a revision."""

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

_PATH = re.compile("/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub(ThreadingHTTPServer):
    """A server of repositories: name -> revision -> file -> contents. The commit of a revision is its hash.

    `requests` are those that it received: method, repository, the first characters of the revision, file.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, Mapping[str, bytes]]] = {}
        self.requests: list[str] = []


def commit_of(revision: str) -> str:
    """Return the commit of a revision; a commit is its own."""
    is_commit = re.fullmatch("[0-9a-f]{40}", revision)
    return revision if is_commit else hashlib.sha1(revision.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        """Send the headers; return the contents."""
        match = _PATH.fullmatch(self.path)
        repository, revision, name = match.groups() if match else ("", "", "")  # what the library asks for itself
        if match:
            self.server.requests.append(f"{self.command} {repository} {revision[:6]} {name}")
        commit = commit_of(revision)
        by_commit = {commit_of(each): files for each, files in self.server.repositories.get(repository, {}).items()}
        contents = by_commit.get(commit, {}).get(name)
        missing = "Entry" if commit in by_commit else "Revision" if by_commit else "Repo"
        if contents is not None:
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(contents).hexdigest()}"')
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", f"{missing}NotFound")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(contents or b"")))
        self.end_headers()
        return contents or b""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def running_hub(cache: Path) -> Iterator[Hub]:
    """Run the server for the duration of the block, in which huggingface_hub is imported anew and asks it."""
    with Hub() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("HF_HOME", str(cache))
        for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
            patch.delitem(sys.modules, name)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
                del sys.modules[name]
