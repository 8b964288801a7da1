"""DeepL through its official SDK, which repeats what can be repeated. The key is ``$DEEPL_AUTH_KEY``; texts are sent to DeepL."""

from __future__ import annotations

import os
from typing import Any

from clir_bench.errors import ModelError
from clir_bench.parts.translators import By, require
from clir_bench.parts.translators.service import ServiceError, ServiceTranslator, hide, key_refused, plain_address

KEY, SERVER = "DEEPL_AUTH_KEY", "DEEPL_SERVER_URL"
_CODES = {"no": "NB", "zh": "ZH", "zh-Hant": "ZH"}


class DeepL:
    """The client. The languages are those that the server says it has."""

    kind, name, texts, characters = "deepl", "deepl", 50, 30_000

    def __init__(self) -> None:
        self._deepl: Any = require("deepl", "deepl")
        self._key = os.environ.get(KEY, "")
        if not self._key:
            raise ModelError(f"deepl: no key. Put it into the environment variable {KEY}; it is written nowhere.")
        own = plain_address(os.environ[SERVER], f"${SERVER}", KEY) if os.environ.get(SERVER) else None
        self._client: Any = self._deepl.DeepLClient(self._key, server_url=own, send_platform_info=False)
        self.server = str(self._client.server_url)
        self._codes: set[str] | None = None

    def source(self, language: str) -> str | None:
        """DeepL's code of a language."""
        if self._codes is None:
            self._codes = {str(found.code).upper() for found in self._guarded(self._client.get_source_languages)}
        code = _CODES.get(language, language.upper())
        return code if code in self._codes else None

    def ask(self, texts: list[str], source: str) -> list[object]:
        """Translate a batch."""
        found = self._guarded(self._client.translate_text, texts, source_lang=source, target_lang="EN-US")
        return [result.text for result in found]

    def _guarded(self, call: Any, *arguments: Any, **settings: Any) -> Any:
        try:
            return call(*arguments, **settings)
        except (self._deepl.AuthorizationException, self._deepl.QuotaExceededException) as error:
            raise key_refused("deepl", KEY, self._said(error)) from None
        except self._deepl.ConnectionException:
            raise ServiceError(f"deepl: the connection to {self.server} failed") from None
        except self._deepl.DeepLException as error:
            status = getattr(error, "http_status_code", None)
            raise ServiceError(f"deepl: {self._said(error)}", divisible=status in (400, 413)) from None
        except Exception as error:  # an answer that the SDK cannot read
            raise ServiceError(f"deepl: an answer that is none of its kind ({type(error).__name__}: {self._said(error)})") from None

    def _said(self, error: Exception) -> str:
        return hide(str(error), self._key)[:200]


def load(url: str, by: By) -> ServiceTranslator:
    """The translator; the server is in the environment, for it goes with the key."""
    if url:
        raise ModelError(f"--translator deepl: it takes no address there. Another server is named by the environment variable {SERVER}.")
    return ServiceTranslator(DeepL(), by)
