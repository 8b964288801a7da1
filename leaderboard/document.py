"""The HTML document that every page starts from, Streamlit's files compressed once, and the headers of all responses."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers as Given
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import file_util

DESCRIPTION = "Which retrieval system answers questions in one language from documents in others: tiers, intervals, pair by pair."
# Without it the front end asks for its configuration below the page's address first, and a browser logs the 404s.
_BASE = '<script>window.__streamlit={BACKEND_BASE_URL:new URL("./",location.href).href}</script>'
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#114a80"/>'
    '<path d="M3 3h4.5v4.5H3z" fill="#f2f7fc"/><path d="M8.5 3H13v4.5H8.5zM3 8.5h4.5V13H3z" fill="#4c95ca"/><path d="M8.5 8.5H13V13H8.5z" fill="#c2dbef"/></svg>'
)
_WITHOUT_SCRIPTS = (
    "<noscript><h1>clir-bench</h1><p>These pages need JavaScript. The same numbers are had without it from the <a href='./api/v1'>API</a> as JSON and parquet,"
    " and as static pages by <code>clir-bench leaderboard export</code>.</p></noscript>"
)
_EVERYWHERE = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin", "permissions-policy": "camera=(), microphone=(), geolocation=()"}
_PACKED = (".js", ".css")


def routes(pages: Iterable[str]) -> list[Route]:
    """The addresses of the pages; "" is the first."""

    async def page(_: Request) -> Response:
        return HTMLResponse(_document(), headers={"cache-control": "no-cache", "content-security-policy": _policy()})

    return [Route(f"/{name}", page, methods=["GET"]) for name in pages]


class Headers:
    """Adds to every response what a browser shall not guess, tell or allow."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_EVERYWHERE)
            await send(message)

        await self.app(scope, receive, send_more if scope["type"] == "http" else send)


class Assets:
    """Serves Streamlit's scripts and styles compressed, once a process and not at every visit: Streamlit itself sends them as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, folder = app, _static()
        self.files = {f"/{path.relative_to(folder).as_posix()}": path for path in (folder / "static").rglob("*") if path.suffix in _PACKED}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = self.files.get(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if path is None or "gzip" not in Given(scope=scope).get("accept-encoding", ""):
            await self.app(scope, receive, send)
            return
        headers = {"content-encoding": "gzip", "vary": "Accept-Encoding", "cache-control": "public, immutable, max-age=31536000"}
        kind = "text/css" if path.suffix == ".css" else "text/javascript"
        await Response(await run_in_threadpool(_packed, path), media_type=kind, headers=headers)(scope, receive, send)


@cache
def _packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


def _static() -> Path:
    return Path(file_util.get_static_dir())


@cache
def _document() -> str:
    """Streamlit's document with our name, icon and words."""
    page = (_static() / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"<!--.*?-->|<noscript>.*?</noscript>|<title>.*?</title>|<link rel=\"(?:shortcut icon|service-desc)\"[^>]*>", "", page, flags=re.DOTALL)
    head = (
        f'{_BASE}<title>clir-bench</title><meta name="description" content="{DESCRIPTION}"><meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:image/svg+xml,{quote(_ICON)}">'
    )
    page = page.replace('<meta charset="UTF-8" />', f'<meta charset="UTF-8" />{head}', 1).replace("<body>", f"<body>{_WITHOUT_SCRIPTS}", 1)
    return re.sub(r"\n\s*\n+", "\n", page).strip()


@cache
def _policy() -> str:
    """Everything comes from this host: only the document's own inline scripts run, and nothing is sent anywhere else."""
    scripts = re.findall(r"<script>(.*?)</script>", _document(), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
        " worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
    )
