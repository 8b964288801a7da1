"""One process: the pages, and the JSON API beside them. Run: ``clir-bench leaderboard serve``."""

from __future__ import annotations

import gc
import pkgutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from clir_bench import standings
from clir_bench.errors import ClirBenchError

if (here := str(Path(__file__).parent)) not in sys.path:
    sys.path.insert(0, here)

import api
import document
import shell


@asynccontextmanager
async def _ready(_: st.App) -> AsyncIterator[None]:
    await run_in_threadpool(_open)
    yield


def _open() -> None:
    """Import what the pages need, open the index and compute the usual standing, so that the first visitor does not wait for it."""
    for module in pkgutil.iter_modules(standings.__path__, f"{standings.__name__}."):
        import_module(module.name)
    with suppress(ClirBenchError):  # the pages say what is wrong
        if shell.index().boards:
            standings.standing(shell.index(), standings.Selection())
    gc.freeze()  # streamlit collects garbage after every run of a script: there is none in what stays open


app = st.App(
    Path(__file__).with_name("app.py"),
    lifespan=_ready,
    routes=[*api.routes(), *document.routes(shell.names())],
    middleware=[Middleware(document.Headers), Middleware(document.Assets)],
)
