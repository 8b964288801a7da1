"""An encoder behind HTTP: any server that answers OpenAI's ``/v1/embeddings`` (text-embeddings-inference, vLLM, llama.cpp, infinity).

What a server does is not ours to decide, so it is asked and checked: its model is known by what it answers to four fixed texts, before, while and after
it works; its vectors are put in order, counted, and normalised here in float32. Only texts leave this machine, to the address the user named, with the
key of an environment variable where there is one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from time import monotonic
from typing import NamedTuple

import numpy as np
import requests

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError
from clir_bench.parts.http_requests import TRIES, Body, Connection, parse_json, parse_url, too_much, worth_a_retry
from clir_bench.vectors import Batch, EncoderFacts, Role, gather, submit_ahead

PROBES = ("The river flows into the sea.", "Ночью над городом шёл дождь.", "春天的花开在山上。")
"""What every server is asked first, each alone; the answers stand for its weights."""
LONG_PROBE = " ".join(f"{i} {word}" for i, word in enumerate(["river", "rain", "flower", "mountain", "city", "night"] * 50))
"""600 words, asked as well: the answer tells where a server cuts texts, or that it refuses them."""
PROBE_SECONDS = 5.0
"""Between two looks at whether the server still runs the same model."""
DEFAULT_TOKENS = 512
"""What is recorded, and asked of a server that can be asked, where neither server nor caller says more."""
_SAME = 1e-3  # largest 1 - cosine of two answers to one probe: half precision beside other texts gives 1e-4, another model far more
_AHEAD = 64  # requests that wait their turn, so that one look is enough for many of them
_PROBED = 32  # components of each answer: with more, a server's last-bit noise would change the hash of an unchanged model


class HttpEncoder:
    """The model that a server runs. ``url`` is the server's address, ``.../v1`` or the full path; ``url#model`` or ``model`` names one of several.

    Prompts are put before the texts here. ``max_tokens`` can be asked of vLLM only (by default 512); other servers cut where they were told to when
    started, and another number is refused. Raises ModelError, also when the server's model changes while it works.
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
        max_tokens: int | None = None,
        concurrency: int = 4,
        timeout: tuple[float, float] = (15.0, 300.0),
        progress: bool = False,
    ) -> None:
        self.url, root, named = parse_url(url)
        self.prompts: dict[Role, str] = {"query": query_prompt, "document": document_prompt}
        self._connection, self._progress = Connection(key_env, timeout, concurrency), progress
        served = self._served(root, model or named)
        self.model_name, self.max_tokens = served.name, self._limit(served, max_tokens)
        self.batch_texts = self._most = min(batch_texts, served.batch or batch_texts)
        self._extra = {"truncate_prompt_tokens": self.max_tokens} if served.cuts else {}
        self.dim = 0
        self._seen = monotonic()
        self._probes = self._probe()
        self.dim = len(self._probes[0])
        self.revision = "+".join(filter(None, (served.revision, _fingerprint("probe", self._probes[:3]), _fingerprint("long", self._probes[3:]))))

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
        """The work in requests of ``batch_texts``, longest texts first. No vector is given before the server has shown the same model after making it."""
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i]))
        division = [order[start : start + self.batch_texts] for start in range(0, len(order), self.batch_texts)]
        flying: list[Future[FloatArray]] = []
        arrived: dict[int, float] = {}

        def ask(rows: list[int]) -> FloatArray:
            vectors = self.embed([texts[i] for i in rows], role)
            arrived[rows[0]] = monotonic()
            return vectors

        def submit(rows: list[int]) -> Future[FloatArray]:
            flying.append(self._connection.submit(partial(ask, rows)))
            return flying[-1]

        def confirmed(first: int, encode: Callable[[], FloatArray]) -> FloatArray:
            try:
                vectors = encode()
                if arrived[first] >= self._seen:
                    flying[:] = [future for future in flying if not future.done()]
                    wait(flying, max(0.0, self._seen + PROBE_SECONDS - monotonic()), FIRST_EXCEPTION)
                    self._confirm()
                return vectors
            except BaseException:  # nobody will want what is under way, and a thread may be pausing for minutes
                for future in flying:
                    future.cancel()
                self._connection.give_up()
                raise

        for batch in submit_ahead(division, submit, _AHEAD):
            yield Batch(batch.rows, partial(confirmed, batch.rows[0], batch.encode))

    def embed(self, texts: Sequence[str], role: Role) -> FloatArray:
        """The vectors by one request, without a look at whether the model is still the same: what a latency is taken of."""
        return self._embed([self.prompts[role] + text for text in texts])

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Embeddings of the texts, float32 [texts, dim], L2-normalised. Raises ModelError."""
        return gather(self.batches(texts, role), texts, self.dim, f"{role} texts", self._progress)

    def close(self) -> None:
        """End the connections and what waits to be sent."""
        self._connection.close()

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

    def _limit(self, served: _Served, asked: int | None) -> int:
        """Tokens of a text that are read: as the server states or is asked for. Raises ModelError where it cannot be asked."""
        if asked and served.limit and (asked > served.limit if served.cuts else asked != served.limit):
            raise ModelError(f"{self.url}: max_tokens is {asked}, but the server reads {served.limit}. Leave --max-tokens away, or start the server for more.")
        if asked and not served.limit and not served.cuts:
            raise ModelError(
                f"{self.url}: max_tokens is {asked}, but this server can neither be asked to cut texts nor says where it does. Leave --max-tokens away, and start"
                " the server so that it cuts where you want."
            )
        wanted = asked or DEFAULT_TOKENS
        return min(wanted, served.limit or wanted) if served.cuts else served.limit or wanted

    def _probe(self) -> list[FloatArray]:
        """The server's vectors of the probes, one request each; without the long one where that is refused."""
        found = [self._embed([text])[0] for text in PROBES]
        try:
            return [*found, self._embed([LONG_PROBE])[0]]
        except _RefusedText:
            return found

    def _confirm(self) -> None:
        """Raise ModelError unless the server answers the probes as it first did."""
        start = monotonic()
        now = self._probe()
        if len(now) != len(self._probes) or any(float(a @ b) < 1 - _SAME for a, b in zip(now, self._probes, strict=True)):
            raise ModelError(
                f"{self.url}: the server answers fixed texts otherwise than it did at first: its model or its limit changed while it was asked."
                " What came since the last look is thrown away; what was kept before is the first model's. Begin anew."
            )
        self._seen = start

    def _get(self, url: str) -> Mapping[str, object]:
        """The object that the server answers; an empty one where it has no such page."""
        answer = self._connection.send("GET", url, tries=2)
        if answer.status_code in (401, 403):
            raise self._connection.not_allowed(self.url, answer)
        found = parse_json(answer) if answer.status_code == 200 else None
        return found if isinstance(found, dict) else {}

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        """The vectors of the texts by one request; by several smaller ones where the server finds it too large."""
        if len(texts) > self._most:
            return np.concatenate([self._embed(texts[start : start + self._most]) for start in range(0, len(texts), self._most)])
        body: Body = {"model": self.model_name, "input": list(texts), "encoding_format": "float", **self._extra}
        answer = self._connection.send("POST", self.url, body)
        if answer.status_code == 200:
            return self._read(answer, texts)
        words = self._connection.words(answer)
        if answer.status_code in (400, 413, 422) or (answer.status_code >= 500 and too_much(words)):
            if len(texts) == 1:
                raise _RefusedText(
                    f"{self.url}: the server refuses the text {texts[0][:60]!r} of {len(texts[0]):,} characters ({answer.status_code}: {words}). If it is too long,"
                    " start the server so that it cuts texts (text-embeddings-inference: --auto-truncate) or takes longer ones (llama.cpp: -c, -b and -ub)."
                )
            half = len(texts) // 2
            if "batch size" in words and "physical" not in words:
                self._most = min(self._most, max(1, half))
            return np.concatenate([self._embed(texts[:half]), self._embed(texts[half:])])
        if answer.status_code in (401, 403):
            raise self._connection.not_allowed(self.url, answer)
        more = f" after {TRIES} tries" if worth_a_retry(answer, words) else ""
        moved = " It sends elsewhere: name the final address." if 300 <= answer.status_code < 400 else ""
        raise ModelError(
            f"{self.url}: the server answers {answer.status_code}{more}: {words}.{moved} Check the address, the model's name and the server's log."
        )

    def _read(self, answer: requests.Response, texts: Sequence[str]) -> FloatArray:
        """The vectors of an answer, in the texts' order, checked and normalised."""
        found = parse_json(answer)
        rows = found.get("data") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "embedding" in row for row in rows):
            raise ModelError(
                f"{self.url}: the answer is no list of embeddings, but {self._connection.words(answer)!r}. Is this an embedding server, and the path right?"
            )
        places = [row.get("index", i) for i, row in enumerate(rows)]
        if not all(type(place) is int for place in places) or sorted(places) != list(range(len(texts))):
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


class _Served(NamedTuple):
    """A server's model: name, revision or nothing, token limit, texts a request, and whether a request can say where to cut."""

    name: str
    revision: str
    limit: int | None
    batch: int | None
    cuts: bool


class _RefusedText(ModelError):
    """A single text that the server does not take."""


def _fingerprint(name: str, probes: Sequence[FloatArray]) -> str:
    """The name and 16 hex digits: dimension and first 32 components of the probes' unit vectors, in thousandths; ``refused`` where there are none."""
    if not probes:
        return f"{name}-refused"
    rounded = np.round(np.stack(probes)[:, :_PROBED].astype(np.float64) * 1000).astype("<i2")
    return f"{name}-{hashlib.sha256(f'{len(probes[0])}:'.encode() + rounded.tobytes()).hexdigest()[:16]}"
