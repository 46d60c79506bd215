"""A PostgreSQL server of its own on loopback, in a temporary directory."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

USER, PASSWORD = "sweeper", "a pass/word@%"
QUOTED_PASSWORD = "a%20pass%2Fword%40%25"


def find_programs() -> Path | None:
    """Return the directory of the server's programs; Debian has them in no directory of the PATH."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in found if (path / "postgres").exists()), None)


@contextmanager
def postgresql(programs: Path) -> Iterator[str]:
    """Run a server; yield the URL of its database, with a password."""
    owner: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    directory = Path(tempfile.mkdtemp(prefix="elman-postgresql-"))
    try:
        (directory / "password").write_text(PASSWORD, encoding="utf-8")
        if owner:
            for path in (directory, directory / "password"):
                shutil.chown(path, "postgres", "postgres")
        data, port = directory / "data", _free_port()
        options = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={directory / 'password'}", "-E", "UTF8", "-N"]
        initdb = [str(programs / "initdb"), "-D", str(data), *options]
        subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **owner)
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}", "-p", str(port)]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings, "-c", "fsync=off"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            **owner,
        )
        try:
            _wait_for(programs, port)
            yield f"postgresql+psycopg://{USER}:{QUOTED_PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(2)  # a fast shutdown
            server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(programs: Path, port: int) -> None:
    for _ in range(300):
        question = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(question, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")
