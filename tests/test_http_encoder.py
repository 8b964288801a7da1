"""Encoders behind HTTP: a real little server in the dialects of those in use, with their faults."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HashingEncoder

from clir_bench.errors import ModelError
from clir_bench.parts import http_encoder, http_requests
from clir_bench.parts.cache import Cached
from clir_bench.parts.http_encoder import HttpEncoder
from clir_bench.parts.http_requests import parse_url
from clir_bench.vectors import gather

KEY = "sk-very-secret-0123456789"
TEXTS = [f"text number {i} " + "river sea " * (i % 7) for i in range(45)] + ["река", "川", "x"]
Fault = Callable[["Server", list[str], dict[str, Any]], tuple[int, Any, dict[str, str]] | None]


class Server(http.server.ThreadingHTTPServer):
    """``/v1/embeddings`` by the hashing encoder. ``dialect`` decides what it says of itself; ``fault`` may answer in its place."""

    daemon_threads = True

    def __init__(self, dialect: str = "openai", fault: Fault | None = None, seed: int = 64, limit: int = 10_000) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.dialect, self.fault, self.limit = dialect, fault, limit
        self.encoder = HashingEncoder(dim=seed)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.running = self.together = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None: ...

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/html" if isinstance(body, str) else "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        d = self.server.dialect
        if d == "tei" and self.path == "/info":
            about = {"model_id": "intfloat/multilingual-e5-large", "model_sha": "ab10c1a7", "max_input_length": 500, "max_client_batch_size": 32}
            return self.reply(200, about)
        model = {"vllm": {"id": "org/served", "owned_by": "vllm", "max_model_len": 384}, "llamacpp": {"id": "/models/x.gguf", "owned_by": "llamacpp"}}
        if d != "tei" and self.path == "/v1/models":
            names = [{"id": "org/a"}, {"id": "org/b"}] if d == "several" else [model.get(d, {"id": "org/model"})]
            return self.reply(200, {"object": "list", "data": names})
        return self.reply(404, "<html>not found</html>")

    def do_POST(self) -> None:
        server, body = self.server, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["input"]
        with server.lock:
            server.asked.append(body)
            server.times.append(time.monotonic())
            server.keys.append(self.headers.get("Authorization"))
            server.running += 1
            server.together = max(server.together, server.running)
        try:
            found = server.fault(server, texts, body) if server.fault and texts[0] not in (*http_encoder.PROBES, http_encoder.LONG_PROBE) else None
            if found is None:
                found = self.embed(texts)
        finally:
            with server.lock:
                server.running -= 1
        if found[0] == 0:  # the connection breaks
            self.connection.close()
            return None
        return self.reply(*found)

    def embed(self, texts: list[str]) -> tuple[int, Any, dict[str, str]]:
        server = self.server
        if server.dialect == "tei" and len(texts) > 32:
            said = f"batch size {len(texts)} > maximum allowed batch size 32"
            return 413, {"error": {"message": said, "code": 413, "type": "validation"}}, {}
        if max(map(len, texts)) > server.limit:
            if server.dialect == "llamacpp":
                return 500, {"error": {"code": 500, "message": "input is too large to process. increase the physical batch size", "type": "server_error"}}, {}
            return 413, {"message": "`inputs` must have less than 500 tokens. Given: 900", "code": 413, "type": "Validation"}, {}
        return 200, listed(3.0 * server.encoder._vectors(texts, "document")), {}


def listed(vectors: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"object": "embedding", "index": i, "embedding": [float(x) for x in v]} for i, v in enumerate(vectors)]}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setattr(http_requests, "BACKOFF", 0.01)
    for name in ("CLIR_BENCH_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    running: list[Server] = []

    def start(*args: Any, **options: Any) -> Server:
        running.append(Server(*args, **options))
        threading.Thread(target=running[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def expected(texts: list[str] = TEXTS) -> Any:
    return HashingEncoder()._vectors(texts, "document")


@pytest.mark.parametrize("dialect", ["openai", "tei", "vllm", "llamacpp"])
def test_vectors_are_those_of_the_model_behind_the_server(serve: Callable[..., Server], dialect: str) -> None:
    server = serve(dialect)
    encoder = HttpEncoder(server.url, batch_texts=10)
    vectors = encoder.encode(TEXTS, "query")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected(), atol=1e-6)
    np.testing.assert_array_equal(vectors, gather(encoder.batches(TEXTS, "query"), TEXTS, encoder.dim, "texts", False))
    about = {"openai": ("org/model", 512), "tei": ("intfloat/multilingual-e5-large", 500), "vllm": ("org/served", 384), "llamacpp": ("/models/x.gguf", 512)}
    assert (encoder.model_name, encoder.max_tokens) == about[dialect]
    assert server.asked[-1]["model"] == encoder.model_name
    assert server.asked[-1].get("truncate_prompt_tokens") == (384 if dialect == "vllm" else None)
    assert encoder.facts().revision.startswith("ab10c1a7+probe-" if dialect == "tei" else "probe-")


def test_base_v1_and_full_address_are_one_endpoint_and_the_fragment_names_the_model(serve: Callable[..., Server]) -> None:
    server = serve("several")
    for path in ("", "/", "/v1", "/v1/", "/v1/embeddings"):
        assert HttpEncoder(f"{server.url}{path}#org/b").model_name == "org/b"
    with pytest.raises(ModelError, match=r"serves 2 models \(org/a, org/b\)\. Name one: http://127.0.0.1:\d+#MODEL"):
        HttpEncoder(server.url)
    with pytest.raises(ModelError, match="of the form http://host:port"):
        parse_url("ftp://host")
    assert parse_url("https://host/api/v1#a/b") == ("https://host/api/v1/embeddings", "https://host/api", "a/b")


def test_prompts_go_before_the_texts(serve: Callable[..., Server]) -> None:
    encoder = HttpEncoder(serve().url, query_prompt="query: ")
    np.testing.assert_allclose(encoder.encode(["river"], "query"), expected(["query: river"]), atol=1e-6)
    np.testing.assert_allclose(encoder.encode(["river"], "document"), expected(["river"]), atol=1e-6)
    assert encoder.identity("query")["prompt"] == "query: "


def test_requests_run_side_by_side_and_the_vectors_keep_their_places(serve: Callable[..., Server]) -> None:
    def slow_first(server: Server, texts: list[str], body: dict[str, Any]) -> None:
        time.sleep(0.1 if len(server.asked) % 2 else 0.02)

    server = serve(fault=slow_first)
    np.testing.assert_allclose(HttpEncoder(server.url, batch_texts=4, concurrency=4).encode(TEXTS, "document"), expected(), atol=1e-6)
    assert 2 <= server.together <= 4


def test_what_is_on_disk_is_not_asked_for_again(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()
    first = Cached(HttpEncoder(server.url, batch_texts=8), tmp_path).encode(TEXTS, "document")
    asked = len(server.asked)
    again = Cached(HttpEncoder(server.url, batch_texts=8), tmp_path)
    np.testing.assert_array_equal(again.encode(TEXTS, "document"), first)
    assert (again.encoded, len(server.asked) - asked) == (0, len(http_encoder.PROBES) + 1)


def test_another_model_behind_the_same_address_and_name_is_another_identity(serve: Callable[..., Server]) -> None:
    server = serve()
    before = HttpEncoder(server.url).identity("query")
    assert HttpEncoder(server.url).identity("query") == before
    original = server.encoder._vectors
    server.encoder._vectors = lambda texts, role: original(texts, role) + 1e-6  # type: ignore[method-assign]  # noise of another batch
    assert HttpEncoder(server.url).identity("query") == before
    server.encoder._vectors = lambda texts, role: original([t[::-1] for t in texts], role)  # type: ignore[method-assign]
    assert HttpEncoder(server.url).identity("query") != before


def test_a_server_that_cuts_elsewhere_is_another_identity(serve: Callable[..., Server]) -> None:
    server = serve()
    whole, original = HttpEncoder(server.url).identity("query"), server.encoder._vectors
    server.encoder._vectors = lambda texts, role: original([t[:900] for t in texts], role)  # type: ignore[method-assign]
    cut = HttpEncoder(server.url).identity("query")
    server.limit = 900
    refusing = HttpEncoder(server.url).identity("query")
    assert len({str(found["revision"]).split("+")[0] for found in (whole, cut, refusing)}) == 1
    assert len({found["revision"] for found in (whole, cut, refusing)}) == 3
    assert str(refusing["revision"]).endswith("+long-refused")


@pytest.mark.parametrize("seconds", [0.0, 0.2, 5.0])
def test_a_model_that_changes_during_a_run_is_an_error_and_none_of_its_vectors_are_kept(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(http_encoder, "PROBE_SECONDS", seconds)
    served = [0]

    def changes(server: Server, texts: list[str], body: dict[str, Any]) -> None:
        served[0] += 1
        if served[0] == 4:
            original = server.encoder._vectors
            server.encoder._vectors = lambda texts, role: -original([t[::-1] for t in texts], role)  # type: ignore[method-assign]

    server = serve(fault=changes)
    encoder = HttpEncoder(server.url, batch_texts=4, concurrency=2)
    cached = Cached(encoder, tmp_path)
    with pytest.raises(ModelError, match=r"answers fixed texts otherwise than it did at first(.|\n)*Begin anew"):
        cached.encode(TEXTS, "document")
    server.fault, server.encoder = None, HashingEncoder()
    np.testing.assert_allclose(Cached(HttpEncoder(server.url), tmp_path).encode(TEXTS, "document"), expected(), atol=1e-6)


def test_a_run_is_looked_after_by_few_probes(serve: Callable[..., Server]) -> None:
    server = serve()
    HttpEncoder(server.url, batch_texts=1).encode(TEXTS, "document")
    assert sum(body["input"] == [http_encoder.LONG_PROBE] for body in server.asked) == 2  # at the beginning and at the end


def test_a_limit_is_the_servers_and_one_that_it_cannot_be_told_is_refused(serve: Callable[..., Server]) -> None:
    assert [HttpEncoder(serve(d).url, max_tokens=n).max_tokens for d, n in (("vllm", 100), ("tei", 500))] == [100, 500]
    for dialect, message in (("tei", "max_tokens is 256, but the server reads 500"), ("openai", "max_tokens is 256, but this server can neither be asked")):
        with pytest.raises(ModelError, match=message):
            HttpEncoder(serve(dialect).url, max_tokens=256)
    with pytest.raises(ModelError, match="max_tokens is 385, but the server reads 384"):
        HttpEncoder(serve("vllm").url, max_tokens=385)


@pytest.mark.parametrize("end", ["interrupt", "error"])
def test_a_program_ends_at_once_whatever_its_server_told_it_to_wait(serve: Callable[..., Server], end: str) -> None:
    def busy(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        return (401, {}, {}) if end == "error" and texts == ["long text"] else (429, {"error": "slow down"}, {"Retry-After": "110"})

    code = "import sys; from clir_bench.parts.http_encoder import HttpEncoder\nHttpEncoder(sys.argv[1], batch_texts=1).encode(['long text', 'x'], 'query')"
    server = serve(fault=busy)
    program = subprocess.Popen([sys.executable, "-c", code, server.url], stderr=subprocess.PIPE, text=True)
    try:
        while end == "interrupt" and ["long text"] not in [body["input"] for body in server.asked] and program.poll() is None:
            time.sleep(0.01)
        if end == "interrupt":
            program.send_signal(signal.SIGINT)
        errors = program.communicate(timeout=20)[1]
    finally:
        program.kill()
    assert ("KeyboardInterrupt" if end == "interrupt" else "it wants a key") in errors


def test_a_request_that_is_too_large_is_halved(serve: Callable[..., Server]) -> None:
    def at_most_5(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        return (422, {"error": f"batch size {len(texts)} > maximum allowed batch size 5"}, {}) if len(texts) > 5 else None

    server = serve(fault=at_most_5)
    np.testing.assert_allclose(HttpEncoder(server.url, concurrency=1).encode(TEXTS, "document"), expected(), atol=1e-6)
    assert sum(len(body["input"]) > 5 for body in server.asked) <= 4  # 32, 16, 8: then it is known


@pytest.mark.parametrize("dialect", ["tei", "llamacpp"])
def test_a_text_that_is_too_long_is_named_with_the_cure(serve: Callable[..., Server], dialect: str) -> None:
    server = serve(dialect, limit=200)
    with pytest.raises(ModelError, match=r"refuses the text 'very long very(.|\n)*of 2,500 characters \((413|500): (.|\n)*--auto-truncate"):
        HttpEncoder(server.url).encode([*TEXTS, "very long " * 250], "document")
    assert len(server.asked) < 40  # none of it repeated


def times_then_well(count: int, answer: tuple[int, Any, dict[str, str]]) -> Fault:
    left = [count]

    def fault(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        left[0] -= 1
        return answer if left[0] >= 0 else None

    return fault


@pytest.mark.parametrize("answer", [(429, {"error": "slow down"}, {"Retry-After": "0.3"}), (500, "<html>oops</html>", {}), (503, {}, {}), (0, "", {})])
def test_passing_faults_are_repeated(serve: Callable[..., Server], answer: tuple[int, Any, dict[str, str]]) -> None:
    server = serve(fault=times_then_well(2, answer))
    encoder = HttpEncoder(server.url)
    server.times.clear()
    np.testing.assert_allclose(encoder.encode(["river"], "document"), expected(["river"]), atol=1e-6)
    first, second, third = server.times[:3]
    assert (second - first >= 0.3 and third - second >= 0.3) == (answer[0] == 429)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda *_: (503, {"error": "loading"}, {}), r"/v1/embeddings: the server answers 503 after 6 tries: loading"),
        (lambda *_: (0, "", {}), r"/v1/embeddings: the connection broke, 6 times\. Is the server running"),
        (lambda *_: time.sleep(0.6), r"/v1/embeddings: no answer within 0\.2 s, 2 times"),
        (lambda *_: (404, {"error": {"message": "no such model"}}, {}), r"the server answers 404: no such model\. Check"),
        (lambda *_: (302, "", {"Location": "http://elsewhere/"}), r"answers 302(.|\n)*name the final address"),
        (lambda *_: (200, "<html>welcome</html>", {}), r"no list of embeddings, but '<html>welcome</html>'"),
        (lambda s, t, b: (200, listed(np.ones((len(t) - 1, 64))), {}), r"3 texts were sent, but the answer has 2 embeddings, with the indexes \[0, 1\]"),
        (lambda s, t, b: (200, {"data": [{"index": 0, "embedding": [1.0] * 64}] * 3}, {}), r"with the indexes \[0, 0, 0\]"),
        (lambda *_: (200, {"data": [{"index": i, "embedding": [1.0] * 64} for i in (0.0, 1.0, 2.0)]}, {}), r"with the indexes \[0\.0, 1\.0, 2\.0\]"),
        (lambda *_: (200, "[" * 200_000, {}), r"no list of embeddings, but '\[\[\[\["),
        (lambda s, t, b: (200, listed(np.ones((len(t), 32))), {}), r"has 32 components, but the first ones had 64"),
        (lambda s, t, b: (200, listed(np.full((len(t), 64), np.nan)), {}), r"no usable embedding of '(aaa|bb|c)'"),
        (lambda s, t, b: (200, {"data": [{"index": i, "embedding": [None] * 64} for i in range(len(t))]}, {}), r"no usable embedding of '(aaa|bb|c)'"),
        (lambda s, t, b: (200, listed(np.zeros((len(t), 64))), {}), r"no usable embedding of '(aaa|bb|c)'"),
    ],
)
def test_lasting_faults_and_wrong_answers_are_one_clear_error(serve: Callable[..., Server], fault: Fault, message: str) -> None:
    encoder = HttpEncoder(serve(fault=fault).url, timeout=(2.0, 0.2))
    with pytest.raises(ModelError, match=message):
        encoder.encode(["aaa", "bb", "c"], "document")


def test_answers_in_another_order_or_in_base64_are_understood(serve: Callable[..., Server]) -> None:
    def shuffled(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        rows = listed(server.encoder._vectors(texts, "document"))["data"]
        for row in rows:
            row["embedding"] = base64.b64encode(np.asarray(row["embedding"], "<f4").tobytes()).decode()
        return 200, {"data": rows[::-1]}, {}

    np.testing.assert_allclose(HttpEncoder(serve(fault=shuffled).url).encode(TEXTS, "document"), expected(), atol=1e-6)


def test_the_key_is_sent_and_written_nowhere(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def tells(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        return (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, {}) if texts == ["wrong"] else None

    def echoes(server: Server, texts: list[str], body: dict[str, Any]) -> Any:
        return (404, {"error": {"message": f"nothing for {KEY}"}}, {}) if texts == ["wrong"] else None

    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", "not this server's")
    monkeypatch.setenv("CLIR_BENCH_API_KEY", KEY)
    server = serve(fault=tells)
    encoder = HttpEncoder(server.url)
    Cached(encoder, tmp_path).encode(TEXTS, "document")
    assert set(server.keys) == {f"Bearer {KEY}"}
    with pytest.raises(ModelError, match=r"answers 401: the key in \$CLIR_BENCH_API_KEY is not accepted") as refused:
        encoder.encode(["wrong"], "query")
    with pytest.raises(ModelError, match=r"nothing for \*\*\*") as echoed:
        HttpEncoder(serve(fault=echoes).url).encode(["wrong"], "query")
    seen = [
        caplog.text,
        repr(encoder),
        repr(vars(encoder)),
        repr(vars(encoder._connection)),
        repr(vars(encoder._connection._session)),
        repr(encoder.identity("query")),
        repr(encoder.facts()),
    ]
    assert KEY not in "".join([*seen, str(refused.value), str(echoed.value)])
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_without_a_key_the_variable_to_set_is_named(serve: Callable[..., Server]) -> None:
    with pytest.raises(ModelError, match=r"answers 403: it wants a key\. Put it into the environment variable MY_KEY"):
        HttpEncoder(serve(fault=lambda *_: (403, {}, {})).url, key_env="MY_KEY").encode(["x"], "query")


@pytest.mark.parametrize("url", [f"http://user:{KEY}@host:8080", f"http://{KEY}@host", f"https://host/v1?api-key={KEY}"])
def test_a_key_in_the_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ModelError, match="CLIR_BENCH_API_KEY") as refused:
        HttpEncoder(url)
    assert KEY not in str(refused.value)


def test_a_server_that_does_not_run_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "BACKOFF", 0.01)
    with pytest.raises(ModelError, match=r"http://127.0.0.1:9/info: the server cannot be reached, 2 times. Is the server running"):
        HttpEncoder("http://127.0.0.1:9")
