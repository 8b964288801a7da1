"""A server on loopback that answers as LibreTranslate and as DeepL do, and fails in the ways that servers fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LANGUAGES = ("ar", "de", "en", "es", "fr", "ja", "nb", "ru", "zh", "zt")


class Service:
    """``faults`` are taken one a translation request, first first; ``seen`` holds the texts of every translation request."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.seen: list[list[str]] = []
        self.sources: list[str] = []
        self.times: list[float] = []
        self.key, self.delay, self.always, self.refused, self.refusal = "", 0.0, "", "", "text not taken"
        self.url, self.salt = "", ""
        self.languages: tuple[str, ...] = LANGUAGES
        self.quota: int | None = None
        """Characters that are left; then 403."""

    def english(self, text: str) -> str:
        return f"en:{self.salt}{text[::-1]}"


@contextmanager
def serve() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/v2/languages"):
                self._send(200, [{"language": code.upper(), "name": code} for code in service.languages])
            else:
                self._send(200, [{"code": code, "targets": ["en"]} for code in service.languages])

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            deepl = self.path.startswith("/v2/")
            texts, source = (body["text"], body["source_lang"]) if deepl else (body["q"], body["source"])
            key = self.headers.get("Authorization", "").removeprefix("DeepL-Auth-Key ") if deepl else body.get("api_key", "")
            service.seen.append(texts)
            service.sources.append(source)
            service.times.append(time.monotonic())
            time.sleep(service.delay)
            fault = service.always or (service.faults.pop(0) if service.faults else "")
            if service.key and key != service.key:
                self._send(403, {"error": f"invalid key {key}", "message": f"invalid key {key}"})
            elif service.quota is not None and service.quota < sum(map(len, texts)):
                self._send(403, {"error": "quota used up", "message": "quota used up"})
            elif service.refused and any(service.refused in text for text in texts):
                self._send(400, {"error": service.refusal, "message": service.refusal})
            elif fault == "busy":
                self._send(429, {"error": "slow down", "message": "slow down"}, {"Retry-After": "1"})
            elif fault == "500":
                self._send(500, {"error": f"failed, key {key}", "message": f"failed, key {key}"})
            elif fault == "hang":
                time.sleep(1.5)
            elif fault == "broken":
                self.close_connection = True
                self.connection.close()
            elif fault == "html":
                self._raw(200, b"<html>sign in</html>", "text/html")
            else:
                made = [service.english(text) for text in texts]
                made = made[:-1] if fault == "fewer" else ["" for _ in made] if fault == "empty" else made
                made = [f"\ud800{text}" for text in made] if fault == "surrogate" else made
                service.quota = service.quota and service.quota - sum(map(len, texts))
                wrapped = [{"detected_source_language": source, "text": text, "billed_characters": len(text)} for text in made]
                self._send(200, {"translations": wrapped} if deepl else {"translatedText": made})

        def _send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
            self._raw(status, json.dumps(content).encode(), "application/json", headers)

        def _raw(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
            try:
                self.send_response(status)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client is gone
                pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
