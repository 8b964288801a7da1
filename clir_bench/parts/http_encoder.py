"""An encoder behind HTTP: any server that answers OpenAI's ``/v1/embeddings`` (text-embeddings-inference, vLLM, llama.cpp, infinity).

What a server does is not ours to decide, so it is asked and checked: its model is known by what it answers to three fixed texts, its vectors are
put in order, counted, and normalised here in float32. Only texts leave this machine, to the address the user named, with the key of an environment
variable where there is one; the key is read when a request is made and kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError
from clir_bench.progress import bar
from clir_bench.vectors import Batch, EncoderFacts, Role, submit_ahead

TRIES = 6
BACKOFF = 0.5
"""Seconds of the first pause; each next one is twice as long."""
LONGEST_PAUSE = 120.0
"""Seconds that a server's Retry-After is obeyed at most."""
PROBES = ("The river flows into the sea.", "Ночью над городом шёл дождь.", "春天的花开在山上。")
"""What every server is asked first, each alone; the answers stand for its weights."""
_SLOW_TRIES = 2  # of requests that got no answer in time: each waited long
_PROBED = 32  # components of each answer: with more, a server's last-bit noise would change the hash of an unchanged model
_TOO_MUCH = re.compile(r"too (large|long|big|many)|exceed|maximum (context|allowed)|context (length|size)|physical batch", re.IGNORECASE)


class HttpEncoder:
    """The model that a server runs. ``url`` is the server's address, ``.../v1`` or the full path; ``url#model`` or ``model`` names one of several.

    Prompts are put before the texts here. ``max_tokens`` is asked of vLLM; other servers cut where they were told to when started. Raises ModelError.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        query_prompt: str = "",
        document_prompt: str = "",
        batch_texts: int = 32,
        key_env: str = "CLIR_BENCH_API_KEY",
        max_tokens: int = 512,
        concurrency: int = 4,
        timeout: tuple[float, float] = (15.0, 300.0),
        progress: bool = False,
    ) -> None:
        self.url, root, named = parse_url(url)
        self.prompts: dict[Role, str] = {"query": query_prompt, "document": document_prompt}
        self._key_env, self._timeout, self._progress, self._concurrency = key_env, timeout, progress, concurrency
        self._session = requests.Session()
        self._session.auth = _Key(key_env)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=concurrency))
        self._stop, self._pool = threading.Event(), ThreadPoolExecutor(concurrency, thread_name_prefix="http-encoder")
        served = self._served(root, model or named)
        self.model_name, self.max_tokens = served.name, min(max_tokens, served.limit or max_tokens) if served.cuts else served.limit or max_tokens
        self.batch_texts = self._most = min(batch_texts, served.batch or batch_texts)
        self._extra = {"truncate_prompt_tokens": self.max_tokens} if served.cuts else {}
        self.dim = 0
        probes = [self._embed([text])[0] for text in PROBES]
        self.dim = len(probes[0])
        self.revision = "+".join(filter(None, (served.revision, _fingerprint(probes))))

    def identity(self, role: Role) -> dict[str, str | int]:
        """All that decides an embedding beside the text: the key of a cache. Not the address: the revision tells servers' models apart."""
        return {
            "kind": "http",
            "model": self.model_name,
            "revision": self.revision,
            "dim": self.dim,
            "prompt": self.prompts[role],
            "max_tokens": self.max_tokens,
        }

    def facts(self) -> EncoderFacts:
        """What a submission says of this encoder: what the server does not tell is ``server`` or None."""
        return EncoderFacts(
            revision=self.revision,
            pooling="server",
            normalize=True,
            dim=self.dim,
            max_tokens=self.max_tokens,
            dtype="server",
            query_prompt=self.prompts["query"],
            document_prompt=self.prompts["document"],
            parameters=None,
            weights_bytes=None,
            licence=None,
        )

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        """The work in requests of ``batch_texts``, longest texts first; as many at a time as ``concurrency`` says."""
        prompt = self.prompts[role]
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i]))
        division = [order[start : start + self.batch_texts] for start in range(0, len(order), self.batch_texts)]
        return submit_ahead(division, lambda rows: self._pool.submit(self._embed, [prompt + texts[i] for i in rows]), self._concurrency)

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised. Raises ModelError."""
        vectors = np.empty((len(texts), self.dim), np.float32)
        with bar(f"encoding {role} texts", len(texts), "text", self._progress and len(texts) > 0) as shown:
            for batch in self.batches(texts, role):
                vectors[batch.rows] = batch.encode()
                shown.update(len(batch.rows))
        return vectors

    def close(self) -> None:
        """End the connections and what waits to be sent."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._session.close()

    def _served(self, root: str, named: str | None) -> _Served:
        """What the server says of itself, by ``/info`` (text-embeddings-inference) or ``/v1/models``."""
        about = self._get(f"{root}/info")
        if isinstance(about.get("model_id"), str):
            limit, batch = (about.get(key) if isinstance(about.get(key), int) else None for key in ("max_input_length", "max_client_batch_size"))
            return _Served(named or str(about["model_id"]), str(about.get("model_sha") or ""), limit, batch, False)  # type: ignore[arg-type]
        found = self._get(self.url.removesuffix("/embeddings") + "/models").get("data")
        models = {str(m["id"]): m for m in found if isinstance(m, dict) and m.get("id")} if isinstance(found, list) else {}
        if named is None and len(models) != 1:
            many = f"serves {len(models)} models ({', '.join(sorted(models)[:8])})" if models else "does not say which model it serves"
            raise ModelError(f"{self.url}: the server {many}. Name one: {root}#MODEL")
        name = named or next(iter(models))
        mine = models.get(name, {})
        limit = mine.get("max_model_len") if isinstance(mine.get("max_model_len"), int) else None
        return _Served(name, "", limit, None, str(mine.get("owned_by")) == "vllm")

    def _get(self, url: str) -> Mapping[str, object]:
        """The object that the server answers; an empty one where it has no such page."""
        answer = self._send("GET", url, tries=2)
        if answer.status_code in (401, 403):
            raise ModelError(self._not_allowed(answer))
        found = _json(answer) if answer.status_code == 200 else None
        return found if isinstance(found, dict) else {}

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        """The vectors of the texts by one request; by several smaller ones where the server finds it too large."""
        if len(texts) > self._most:
            return np.concatenate([self._embed(texts[start : start + self._most]) for start in range(0, len(texts), self._most)])
        body: dict[str, str | int | list[str]] = {"model": self.model_name, "input": list(texts), "encoding_format": "float", **self._extra}
        answer = self._send("POST", self.url, body)
        if answer.status_code == 200:
            return self._read(answer, texts)
        words = self._words(answer)
        if answer.status_code in (400, 413, 422) or (answer.status_code >= 500 and _TOO_MUCH.search(words)):
            if len(texts) == 1:
                raise ModelError(
                    f"{self.url}: the server refuses the text {texts[0][:60]!r} of {len(texts[0]):,} characters ({answer.status_code}: {words}). If it is too long,"
                    " start the server so that it cuts texts (text-embeddings-inference: --auto-truncate) or takes longer ones (llama.cpp: -c, -b and -ub)."
                )
            half = len(texts) // 2
            if "batch size" in words and "physical" not in words:
                self._most = min(self._most, max(1, half))
            return np.concatenate([self._embed(texts[:half]), self._embed(texts[half:])])
        if answer.status_code in (401, 403):
            raise ModelError(self._not_allowed(answer))
        more = f" after {TRIES} tries" if _worth_a_retry(answer, words) else ""
        moved = " It sends elsewhere: name the final address." if 300 <= answer.status_code < 400 else ""
        raise ModelError(
            f"{self.url}: the server answers {answer.status_code}{more}: {words}.{moved} Check the address, the model's name and the server's log."
        )

    def _read(self, answer: requests.Response, texts: Sequence[str]) -> FloatArray:
        """The vectors of an answer, in the texts' order, checked and normalised."""
        found = _json(answer)
        rows = found.get("data") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "embedding" in row for row in rows):
            raise ModelError(f"{self.url}: the answer is no list of embeddings, but {self._words(answer)!r}. Is this an embedding server, and the path right?")
        places = [row.get("index", i) for i, row in enumerate(rows)]
        if sorted(places, key=str) != sorted(range(len(texts)), key=str):
            raise ModelError(
                f"{self.url}: {len(texts)} texts were sent, but the answer has {len(rows)} embeddings, with the indexes {places[:8]}. Check the server."
            )
        vectors: list[FloatArray | None] = [None] * len(texts)
        for place, row in zip(places, rows, strict=True):
            vectors[place] = self._vector(row["embedding"], texts[place])
        return np.stack([vector for vector in vectors if vector is not None])

    def _vector(self, given: object, text: str) -> FloatArray:
        try:
            vector = np.frombuffer(base64.b64decode(given, validate=True), "<f4") if isinstance(given, str) else np.asarray(given, np.float64)
            if vector.ndim != 1 or not np.isfinite(vector).all() or not vector.any():
                raise ValueError("not one vector of finite numbers, or all zero")
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"{self.url}: no usable embedding of {text[:60]!r} ({error}). Check the server; half precision may overflow: try float32 there."
            ) from error
        if self.dim and len(vector) != self.dim:
            raise ModelError(
                f"{self.url}: an embedding has {len(vector)} components, but the first ones had {self.dim}. Did the server change its model? Begin anew."
            )
        wide = vector.astype(np.float64)
        return (wide / np.linalg.norm(wide)).astype(np.float32)

    def _send(self, method: str, url: str, body: Mapping[str, str | int | list[str]] | None = None, tries: int | None = None) -> requests.Response:
        """An answer, whatever its status; the last one where repeating does not help. Raises ModelError where none comes."""
        cause, tries, attempt = "given up", tries or TRIES, 0
        for attempt in range(1, tries + 1):
            pause = BACKOFF * 2 ** (attempt - 1)
            try:
                answer = self._session.request(method, url, json=body, timeout=self._timeout, allow_redirects=False)
                if attempt == tries or answer.status_code < 429 or not _worth_a_retry(answer, self._words(answer)):
                    return answer
                pause = _retry_after(answer) or pause
            except requests.RequestException as error:
                cause = _cause(error, self._timeout)
                if isinstance(error, requests.Timeout) and attempt == _SLOW_TRIES:
                    break
            if attempt == tries or self._stop.wait(pause):
                break
        raise ModelError(f"{url}: {cause}, {attempt} times. Is the server running, and the address right? What is encoded so far stays in the cache.")

    def _words(self, answer: requests.Response) -> str:
        """The server's own words, short, without the key."""
        found = _json(answer) if answer.status_code != 200 else None
        error = found.get("error", found.get("message", found.get("detail"))) if isinstance(found, dict) else None
        said = error.get("message", error) if isinstance(error, dict) else error
        text = re.sub(r"\s+", " ", str(said or answer.text[:400] or answer.reason)).strip()
        if key := os.environ.get(self._key_env):
            text = text.replace(key, "***")
        return text[:200]

    def _not_allowed(self, answer: requests.Response) -> str:
        given = os.environ.get(self._key_env)
        told = f"the key in ${self._key_env} is not accepted" if given else f"it wants a key. Put it into the environment variable {self._key_env}"
        return f"{self.url}: the server answers {answer.status_code}: {told}."


def parse_url(url: str) -> tuple[str, str, str | None]:
    """The endpoint, the server's root, and the model after ``#``. Raises ModelError for what is no address and for secrets in it."""
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host:
        raise ModelError("the address of an embedding server must be of the form http://host:port or https://host/path, with #model where it serves several")
    if parts.username is not None or parts.password is not None or parts.query:
        raise ModelError(
            f"{host}: an address with a user, a password or a query is not taken, because addresses are written into results."
            " Put the key into the environment variable CLIR_BENCH_API_KEY and name the address without it."
        )
    path = parts.path.rstrip("/")
    root = path.removesuffix("/embeddings").removesuffix("/v1")
    full = path if path.endswith("/embeddings") else f"{root}/v1/embeddings"
    return urlunsplit((parts.scheme, parts.netloc, full, "", "")), urlunsplit((parts.scheme, parts.netloc, root, "", "")), unquote(parts.fragment) or None


class _Served(NamedTuple):
    """A server's model: name, revision or nothing, token limit, texts a request, and whether a request can say where to cut."""

    name: str
    revision: str
    limit: int | None
    batch: int | None
    cuts: bool


class _Key(AuthBase):
    """Puts the key of the environment into a request. Being there, it also keeps a ``.netrc`` from being read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if key := os.environ.get(self.name):
            request.headers["Authorization"] = f"Bearer {key}"
        return request


def _fingerprint(probes: Sequence[FloatArray]) -> str:
    """``probe-`` and 16 hex digits: dimension and first 32 components of the probes' unit vectors, in thousandths."""
    rounded = np.round(np.stack(probes)[:, :_PROBED].astype(np.float64) * 1000).astype("<i2")
    return f"probe-{hashlib.sha256(f'{len(probes[0])}:'.encode() + rounded.tobytes()).hexdigest()[:16]}"


def _worth_a_retry(answer: requests.Response, words: str) -> bool:
    return answer.status_code == 429 or (answer.status_code >= 500 and not _TOO_MUCH.search(words))


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds until the server wants to be asked again."""
    stated = answer.headers.get("Retry-After", "")
    try:
        seconds = float(stated) if re.fullmatch(r"[\d.]+", stated) else (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _json(answer: requests.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return None


def _cause(error: requests.RequestException, timeout: tuple[float, float]) -> str:
    """Why no answer came, in words; the error's own text may hold what it was sent with."""
    text = str(error)
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"no answer within {timeout[1]:g} s"
    if "NameResolution" in text or "getaddrinfo" in text:
        return "no such host, or no network"
    return "the server cannot be reached" if "refused" in text or "unreachable" in text else "the connection broke"
