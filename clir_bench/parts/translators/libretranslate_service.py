"""LibreTranslate, on your own machine or elsewhere: ``libretranslate:URL``. Its key, if it wants one, is ``$LIBRETRANSLATE_API_KEY``."""

from __future__ import annotations

import os
import re
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from clir_bench.network import cause_of
from clir_bench.parts.translators import By
from clir_bench.parts.translators.service import ServiceError, ServiceTranslator, hide, key_refused, plain_address

KEY = "LIBRETRANSLATE_API_KEY"
TRIES = 6
BACKOFF = 0.5
"""Seconds of the first pause; each next one is twice as long."""
TIMEOUT = (15.0, 180.0)
"""Seconds to connect, and for an answer."""
FIRST_TRIES, FIRST_TIMEOUT = 3, (5.0, 30.0)
"""Of the first contact, the question for the languages: a server that is not there is told soon."""
LONGEST_PAUSE = 300.0
"""Seconds that Retry-After may ask for; then the request is tried all the same."""
_ABOUT_KEY = re.compile(r"api[ _-]?key", re.IGNORECASE)
_CODES = {"no": ("nb", "no"), "zh": ("zh", "zh-Hans"), "zh-Hant": ("zh-Hant", "zt")}


class LibreTranslate:
    """The client. The languages are those that the server says it has into English."""

    kind, texts, characters = "libretranslate", 20, 10_000

    def __init__(self, url: str) -> None:
        self.name = self.server = plain_address(url, "--translator libretranslate:ADDRESS", KEY)
        self._key, self._codes = os.environ.get(KEY) or None, None

    _codes: set[str] | None

    def source(self, language: str) -> str | None:
        """The server's code of a language."""
        if self._codes is None:
            found = self._send("GET", "/languages", None, FIRST_TRIES, FIRST_TIMEOUT)
            if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
                raise ServiceError(f"{self.name} answers without languages")
            self._codes = {str(row.get("code")) for row in found if "en" in (row.get("targets") or ["en"])}
        return next((code for code in _CODES.get(language, (language,)) if code in self._codes), None)

    def ask(self, texts: list[str], source: str) -> list[object]:
        """Translate a batch."""
        body: dict[str, Any] = {"q": texts, "source": source, "target": "en", "format": "text"}
        answer = self._send("POST", "/translate", body | ({"api_key": self._key} if self._key else {}), TRIES, TIMEOUT)
        found = answer.get("translatedText") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise ServiceError(f"{self.name} answers without translations")
        return found

    def _send(self, method: str, path: str, body: dict[str, Any] | None, tries: int, timeout: tuple[float, float]) -> Any:
        try:
            with _session(tries) as session:
                answer = session.request(method, self.name + path, json=body, timeout=timeout)
        except (requests.RequestException, ValueError) as error:  # ValueError: what urllib3 says of some addresses
            raise ServiceError(f"{self.name}: {cause_of(error, timeout[1])}, {tries} times") from None
        if answer.status_code < 400:
            try:
                return answer.json()
            except requests.JSONDecodeError:
                raise ServiceError(f"{self.name} answers with {answer.headers.get('Content-Type', 'something')} that is no JSON") from None
        reason = f"{answer.status_code} {hide(_reason(answer), self._key)}".strip()
        if answer.status_code in (401, 403) or (answer.status_code == 400 and _ABOUT_KEY.search(reason)):
            raise key_refused(self.name, KEY, f"the server answers {reason}")
        more = f" after {tries} tries" if answer.status_code == 429 or answer.status_code >= 500 else ""
        raise ServiceError(f"{self.name} answers {reason}{more}", divisible=answer.status_code in (400, 413, 422))


def load(url: str, by: By) -> ServiceTranslator:
    """The translator."""
    return ServiceTranslator(LibreTranslate(url), by)


class _Patient(Retry):
    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return asked if asked is None else min(asked, LONGEST_PAUSE)


def _session(tries: int) -> requests.Session:
    session = requests.Session()
    retry = _Patient(
        total=tries - 1, backoff_factor=BACKOFF, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET", "POST"), raise_on_status=False
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
