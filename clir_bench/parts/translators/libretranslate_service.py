"""LibreTranslate, on your own machine or elsewhere: ``libretranslate:URL``. Its key, if it wants one, is ``$LIBRETRANSLATE_API_KEY``."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from clir_bench.errors import ModelError
from clir_bench.parts.translators import By
from clir_bench.parts.translators.service import ServiceError, ServiceTranslator, hide, key_refused

KEY = "LIBRETRANSLATE_API_KEY"
TRIES = 6
BACKOFF = 0.5
"""Seconds of the first pause; each next one is twice as long."""
TIMEOUT = (15.0, 180.0)
"""Seconds to connect, and for an answer."""
LONGEST_PAUSE = 300.0
"""Seconds that Retry-After may ask for; then the request is tried all the same."""
_CODES = {"no": ("nb", "no"), "zh": ("zh", "zh-Hans"), "zh-Hant": ("zh-Hant", "zt")}


class LibreTranslate:
    """The client. The languages are those that the server says it has into English."""

    kind, texts, characters = "libretranslate", 20, 10_000

    def __init__(self, url: str) -> None:
        place = urlsplit(url if "://" in url else f"http://{url}")
        if place.scheme not in ("http", "https") or not place.hostname:
            raise ModelError(f"libretranslate:{url}: name the server, as libretranslate:http://localhost:5000")
        host = place.hostname + (f":{place.port}" if place.port else "")  # without user, password and query
        self.name = f"{place.scheme}://{host}{place.path.rstrip('/')}"
        self._key, self._codes = os.environ.get(KEY) or None, None

    _codes: set[str] | None

    def source(self, language: str) -> str | None:
        """The server's code of a language."""
        if self._codes is None:
            found = self._send("GET", "/languages", None)
            rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
            self._codes = {str(row.get("code")) for row in rows if "en" in (row.get("targets") or ["en"])}
        return next((code for code in _CODES.get(language, (language,)) if code in self._codes), None)

    def ask(self, texts: list[str], source: str) -> list[object]:
        """Translate a batch."""
        body: dict[str, Any] = {"q": texts, "source": source, "target": "en", "format": "text"}
        answer = self._send("POST", "/translate", body | ({"api_key": self._key} if self._key else {}))
        found = answer.get("translatedText") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise ServiceError(f"{self.name} answers without translations")
        return found

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            with _session() as session:
                answer = session.request(method, self.name + path, json=body, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise ServiceError(f"{self.name}: {_cause(error)}, {TRIES} times") from None
        if answer.status_code < 400:
            try:
                return answer.json()
            except requests.JSONDecodeError:
                raise ServiceError(f"{self.name} answers with {answer.headers.get('Content-Type', 'something')} that is no JSON") from None
        reason = f"{answer.status_code} {hide(_reason(answer), self._key)}".strip()
        if answer.status_code in (401, 403):
            raise key_refused(self.name, KEY, f"the server answers {reason}")
        more = f" after {TRIES} tries" if answer.status_code == 429 or answer.status_code >= 500 else ""
        raise ServiceError(f"{self.name} answers {reason}{more}", divisible=answer.status_code in (400, 413, 422))


def load(url: str, by: By) -> ServiceTranslator:
    """The translator."""
    return ServiceTranslator(LibreTranslate(url), by)


class _Patient(Retry):
    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return asked if asked is None else min(asked, LONGEST_PAUSE)


def _session() -> requests.Session:
    session = requests.Session()
    retry = _Patient(
        total=TRIES - 1, backoff_factor=BACKOFF, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET", "POST"), raise_on_status=False
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.headers["User-Agent"] = "clir-bench"
    return session


def _reason(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])[:200]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return str(answer.reason)


def _cause(error: Exception) -> str:
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"no answer within {TIMEOUT[1]:g} s"
    if "NameResolution" in text or "refused" in text or "unreachable" in text:
        return "the server cannot be reached"
    return "the connection broke"
