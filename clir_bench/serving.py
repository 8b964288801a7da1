"""The leaderboard as one process: its pages, and the API beside them."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from clir_bench import resources
from clir_bench.errors import ClirBenchError, MissingExtra
from clir_bench.standings.build import FOLDER

_FAREWELL = 2  # seconds that open pages have to take leave when the server ends


def listen(host: str, port: int) -> socket.socket:
    """A socket on that address; port 0 takes a free one. Raises ClirBenchError where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ClirBenchError(f"{host}:{port} cannot be listened on: {reason}. --port names another, --port 0 takes a free one") from None


def serve(folder: Path, listening: socket.socket) -> None:
    """Serve the board of a folder of submissions until it is interrupted. Raises MissingExtra."""
    try:
        import streamlit  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtra(str(error.name), "leaderboard") from None
    os.environ[FOLDER] = str(folder.resolve())
    sys.path.insert(0, str(resources.folder("leaderboard")))
    config = uvicorn.Config("server:app", log_level="warning", access_log=False, timeout_graceful_shutdown=_FAREWELL)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
