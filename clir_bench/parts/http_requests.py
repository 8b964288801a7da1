"""Requests to a server that may be slow, busy or broken: the key, the pauses, the repeats, the threads that wait, and what to say of failures.

The key is read from the environment when a request is made and kept nowhere.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from queue import SimpleQueue
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from clir_bench.collection import FloatArray
from clir_bench.errors import ModelError
from clir_bench.network import cause_of

Body = Mapping[str, str | int | list[str]]
TRIES = 6
BACKOFF = 0.5
"""Seconds of the first pause; each next one is twice as long."""
LONGEST_PAUSE = 120.0
"""Seconds that a server's Retry-After is obeyed at most."""
_SLOW_TRIES = 2  # of requests that got no answer in time: each waited long
_TOO_MUCH = re.compile(r"too (large|long|big|many)|exceed|maximum (context|allowed)|context (length|size)|physical batch", re.IGNORECASE)


class Connection:
    """A session with one server, and ``concurrency`` threads to wait for its answers in. Raises ModelError where no answer comes."""

    def __init__(self, key_env: str, timeout: tuple[float, float], concurrency: int) -> None:
        self._key_env, self._timeout, self._stop = key_env, timeout, threading.Event()
        self._session = requests.Session()
        self._session.auth = _Key(key_env)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=concurrency + 1))
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._end = weakref.finalize(self, _end, self._jobs, concurrency)
        for number in range(concurrency):  # daemons: the interpreter does not wait for them, whatever they wait for
            threading.Thread(target=_work, args=(self._jobs,), name=f"http-{number}", daemon=True).start()

    def submit(self, work: Callable[[], FloatArray]) -> Future[FloatArray]:
        """Do the work in one of the threads."""
        if not self._end.alive:
            raise ModelError("this encoder is closed")
        future: Future[FloatArray] = Future()
        self._jobs.put(partial(_run, future, work))
        return future

    def give_up(self) -> None:
        """End all pauses and repeats of what is under way."""
        self._stop.set()
        self._stop = threading.Event()

    def close(self) -> None:
        """End the threads and the connections."""
        self.give_up()
        self._end()
        self._session.close()

    def send(self, method: str, url: str, body: Body | None = None, tries: int | None = None) -> requests.Response:
        """An answer, whatever its status; the last one where repeating does not help. Raises ModelError where none comes."""
        cause, tries, attempt, stop = "given up", tries or TRIES, 0, self._stop
        for attempt in range(1, tries + 1):
            pause = BACKOFF * 2 ** (attempt - 1)
            try:
                answer = self._session.request(method, url, json=body, timeout=self._timeout, allow_redirects=False)
                if attempt == tries or answer.status_code < 429 or not worth_a_retry(answer, self.words(answer)):
                    return answer
                pause = _retry_after(answer) or pause
            except requests.RequestException as error:
                cause = cause_of(error, self._timeout[1])
                if isinstance(error, requests.Timeout) and attempt == _SLOW_TRIES:
                    break
            if attempt == tries or stop.wait(pause):
                break
        raise ModelError(f"{url}: {cause}, {attempt} times. Is the server running, and the address right? What is encoded so far stays in the cache.")

    def words(self, answer: requests.Response) -> str:
        """The server's own words, short, without the key."""
        found = parse_json(answer) if answer.status_code != 200 else None
        error = found.get("error", found.get("message", found.get("detail"))) if isinstance(found, dict) else None
        said = error.get("message", error) if isinstance(error, dict) else error
        text = re.sub(r"\s+", " ", str(said or answer.text[:400] or answer.reason)).strip()
        if key := os.environ.get(self._key_env):
            text = text.replace(key, "***")
        return text[:200]

    def not_allowed(self, url: str, answer: requests.Response) -> ModelError:
        """What to say of a 401 or 403."""
        given = os.environ.get(self._key_env)
        told = f"the key in ${self._key_env} is not accepted" if given else f"it wants a key. Put it into the environment variable {self._key_env}"
        return ModelError(f"{url}: the server answers {answer.status_code}: {told}.")


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


class _Key(AuthBase):
    """Puts the key of the environment into a request. Being there, it also keeps a ``.netrc`` from being read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if key := os.environ.get(self.name):
            request.headers["Authorization"] = f"Bearer {key}"
        return request


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    """A thread's life: jobs until the end. Nothing holds a finished one, which would hold the encoder."""
    while _do(jobs.get()):
        pass


def _do(job: Callable[[], None] | None) -> bool:
    if job is not None:
        job()
    return job is not None


def _run(future: Future[FloatArray], work: Callable[[], FloatArray]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, somebody waits for this
            future.set_exception(error)


def _end(jobs: SimpleQueue[Callable[[], None] | None], threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)


def too_much(words: str) -> bool:
    """Whether a server finds a request too large."""
    return _TOO_MUCH.search(words) is not None


def worth_a_retry(answer: requests.Response, words: str) -> bool:
    """Whether the same request may succeed later."""
    return answer.status_code == 429 or (answer.status_code >= 500 and not too_much(words))


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds until the server wants to be asked again."""
    stated = answer.headers.get("Retry-After", "")
    try:
        seconds = float(stated) if re.fullmatch(r"[\d.]+", stated) else (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def parse_json(answer: requests.Response) -> object:
    """What the answer holds; None where it is no JSON."""
    try:
        return answer.json()
    except (ValueError, RecursionError):  # nested by the thousand, too, is not what was asked for
        return None
