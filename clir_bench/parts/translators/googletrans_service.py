"""Google's web translation through the package googletrans: unofficial, may stop or change any day. Texts are sent to Google."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clir_bench.errors import ModelError
from clir_bench.parts.translators import By, require
from clir_bench.parts.translators.service import ServiceError, ServiceTranslator

TRIES, BACKOFF = 4, 1.0
_CODES = {"zh": "zh-cn", "zh-Hant": "zh-tw"}


class GoogleTrans:
    """The client. The languages are the package's table; it has no Nynorsk."""

    kind, name, server, texts, characters = "googletrans", "googletrans", "translate.googleapis.com", 10, 10_000

    def __init__(self) -> None:
        self._package: Any = require("googletrans", "googletrans")

    def source(self, language: str) -> str | None:
        """Google's code of a language."""
        code = _CODES.get(language, language)
        return code if code in self._package.LANGUAGES else None

    def ask(self, texts: list[str], source: str) -> list[object]:
        """Translate a batch, in a thread of its own: the package is asynchronous, and a notebook runs a loop already."""
        for turn in range(TRIES):
            try:
                with ThreadPoolExecutor(1) as thread:
                    return thread.submit(asyncio.run, self._ask(texts, source)).result()
            except Exception as error:  # whatever the package or its transport raise
                reason = f"{type(error).__name__}: {str(error)[:200]}"
                if turn + 1 < TRIES:
                    time.sleep(BACKOFF * 2**turn)
        raise ServiceError(f"googletrans: {reason}, {TRIES} times")

    async def _ask(self, texts: list[str], source: str) -> list[object]:
        async with self._package.Translator(raise_exception=True) as client:
            return [found.text for found in await client.translate(texts, src=source, dest="en")]


def load(url: str, by: By) -> ServiceTranslator:
    """The translator."""
    if url:
        raise ModelError("--translator googletrans: it takes no address")
    return ServiceTranslator(GoogleTrans(), by)
