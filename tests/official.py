"""The three data sets in miniature, in their official file formats, and a web server that serves them with every fault a real one shows."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import random
import re
import tarfile
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomlkit

ROOT = Path(__file__).parent.parent
HUB_PATH = re.compile(r"^/(?:datasets/)?.+/resolve/[^/]+/(.+)$")


@dataclass
class Fault:
    """What a server does wrong with a path: ``times`` answers, then it behaves."""

    times: int = 1
    status: int | None = None
    retry_after: str | None = None
    cut: int | None = None  # send so many bytes, then close
    hang: bool = False
    whole: bool = False  # answer 200 with everything to a Range request


@dataclass
class Site:
    """Files by path, and how they are served. Paths with ``/resolve/`` redirect to a signed address, as the hub does."""

    files: dict[str, bytes | Path] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    signed_uses: int = 10**9  # how often a signed address works
    log: list[tuple[str, str, int, int]] = field(default_factory=list)  # method, path, status, bytes sent
    address: str = ""
    index: dict[str, dict[str, Any]] = field(default_factory=dict)  # CLIRMatrix's, before the server's address is known
    tokens: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"{self.address}{path}"

    def size(self, path: str) -> int:
        content = self.files[path]
        return content.stat().st_size if isinstance(content, Path) else len(content)

    def piece(self, path: str, start: int, end: int) -> bytes:
        content = self.files[path]
        if isinstance(content, bytes):
            return content[start:end]
        with content.open("rb") as stream:
            stream.seek(start)
            return stream.read(end - start)

    def etag(self, path: str) -> str:
        if path not in self.etags:
            content = self.files[path]
            raw = content if isinstance(content, bytes) else content.name.encode()
            self.etags[path] = hashlib.sha256(raw).hexdigest()
        return self.etags[path]


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        site, path = self.site, urlsplit(self.path).path
        if path.startswith("/cdn/"):
            _, _, token, path = path.split("/", 3)
            path = "/" + path
            with site.lock:
                site.tokens[token] += 1
                expired = site.tokens[token] > site.signed_uses
            self._plain(403, path) if expired else self._serve(path, store="store-")
        elif path not in site.files:
            self._plain(404, path)
        elif not HUB_PATH.match(path):
            self._serve(path)
        elif (fault := self._fault(f"resolve:{path}")) is not None:
            self._wrong(fault, path)
        else:
            with site.lock:
                token = f"t{len(site.tokens)}"
                site.tokens[token] = 0
            elsewhere = site.address.replace("127.0.0.1", "localhost")  # another host, as the hub's store is
            headers = {"Location": f"{elsewhere}/cdn/{token}{path}", "X-Linked-Size": str(site.size(path)), "X-Linked-Etag": f'"{site.etag(path)}"'}
            headers |= {"X-Repo-Commit": path.split("/resolve/")[1].split("/")[0], "ETag": f'"{site.etag(path)}"'}
            self._plain(302, path, headers)

    def _fault(self, path: str) -> Fault | None:
        with self.site.lock:
            fault = self.site.faults.get(path)
            if fault is None or fault.times == 0:
                return None
            fault.times -= 1
            return fault

    def _wrong(self, fault: Fault, path: str) -> None:
        if fault.hang:
            threading.Event().wait(3)
            self.close_connection = True
            return
        self._plain(fault.status or 500, path, {"Retry-After": fault.retry_after} if fault.retry_after else {})

    def _serve(self, path: str, store: str = "") -> None:
        fault = self._fault(path)
        if fault is not None and (fault.status or fault.hang):
            self._wrong(fault, path)
            return
        size, etag = self.site.size(path), f'"{store}{self.site.etag(path)[:20] if store else self.site.etag(path)}"'  # the hub's store has ETags of its own
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        changed = self.headers.get("If-Range", etag) != etag
        start, end, status = 0, size, 200
        headers = {"ETag": etag}
        if asked and not changed and not (fault and fault.whole):
            start, end = int(asked[1]), min(size, int(asked[2] or size - 1) + 1)
            if start >= size:
                self._plain(416, path, {"Content-Range": f"bytes */{size}"})
                return
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(end - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = min(end, start + fault.cut) if fault and fault.cut is not None else end
        self.site.log.append((self.command, path, status, stop - start))
        for at in range(start, stop, 1 << 20):
            self.wfile.write(self.site.piece(path, at, min(stop, at + (1 << 20))))
        if stop < end:
            self.close_connection = True

    def _plain(self, status: int, path: str, headers: dict[str, str] | None = None) -> None:
        self.site.log.append((self.command, path, status, 0))
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()


def add_repository(site: Site, repository: str, folder: Path, commit: str) -> None:
    """Serve a folder as a data set of the hub at ``commit``, which is also ``main``: the parts of its API that huggingface_hub asks for."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    tree = [{"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": "0" * 40} for name in names]
    about = {
        "_id": "1",
        "id": repository,
        "sha": commit,
        "siblings": [{"rfilename": name} for name in names],
        "private": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
    }
    for revision in (commit, "main"):
        site.files[f"/api/datasets/{repository}/revision/{revision}"] = json.dumps(about).encode()
        site.files[f"/api/datasets/{repository}/tree/{revision}"] = json.dumps(tree).encode()
    for name in names:
        site.files[f"/datasets/{repository}/resolve/{commit}/{name}"] = (folder / name).read_bytes()


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve the site on loopback while the block runs."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    server.daemon_threads = True
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def localise(name: str, site: Site, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """The real definition ``tasks/{name}.toml`` with its files at the site, their sizes and checksums those of the site's files."""
    content = tomllib.loads((ROOT / "tasks" / f"{name}.toml").read_text(encoding="utf-8"))
    files = []
    for file in content["files"]:
        path = urlsplit(file["url"]).path
        if path not in site.files:
            continue
        fresh = {**file, "url": site.url(path)}
        raw = site.files[path]
        if "bytes" in file:
            fresh["bytes"] = site.size(path)
        if "md5" in file and isinstance(raw, bytes):
            fresh["md5"] = hashlib.md5(raw).hexdigest()
        files.append(fresh)
    content["files"] = files
    content.pop("cost", None)
    if change:
        change(content)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(tomlkit.dumps(content), encoding="utf-8")
    return path


_SYLLABLES = ["".join(pair) for pair in itertools.product("bdgklmnprstvz", "aeiou")]
_VOCABULARY = ["".join(parts) for parts in itertools.product(_SYLLABLES, _SYLLABLES)]


def words(key: str, n: int) -> str:
    """``n`` made-up words that depend on the key alone."""
    return " ".join(random.Random(key).choices(_VOCABULARY, k=n))


# --- Large-Scale CLIR -------------------------------------------------------------------------------------------------------------------

LARGE_SCALE_FOLDERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "de": "german", "en": "simple_english", "es": "spanish", "fi": "finnish", "fr": "french",
    "it": "italian", "ja": "japanese", "ko": "korean", "nl": "dutch", "nn": "norwegian_(nynorsk)", "no": "norwegian_(bokmal)", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "sw": "swahili", "tl": "tagalog", "tr": "turkish", "uk": "ukrainian",
    "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip


@cache
def large_scale_archive(articles: int = 120, shuffle: int | None = None, without: str = "") -> bytes:
    """wiki-clir.tar.gz in miniature: ``articles`` English articles, each with a mate in every language, and the oddities of the real one.

    Of every language: article 3 has two mates, 5 a stub for a document, 7 a document equal to article 6's, 9 no document at all, 11 a query without
    sentence. ``shuffle`` orders lines and members by another seed; ``without`` leaves a member out.
    """
    rng = random.Random(shuffle)

    def joined(lines: list[str]) -> bytes:
        if shuffle is not None:
            rng.shuffle(lines)
        return ("\n".join(lines) + "\n").encode()

    sentences = ["" if a == 11 else f"is a {words(f's{a}', 7)} ." for a in range(articles)]
    queries = [f"{1000 + a}\ttopic {a}\t{sentence}" for a, sentence in enumerate(sentences)]
    members = {"wiki-clir/english/wiki_en.queries": joined(queries)}
    for language, name in LARGE_SCALE_FOLDERS.items():
        code = "simple" if language == "en" else language
        documents, rel = [], []
        for a in range(articles):
            text = "stub" if a == 5 else f" {language} {words(f'{language}{6 if a == 7 else a}', 30)}"
            title = f"Topic {6 if a == 7 else a}"
            if a != 9:
                documents.append(f"{a + 10}\t{title}\t{text}")
            documents.append(f"{a + 5000}\tOther {a}\t{language} {words(f'{language}other{a}', 12)}")
            rel += [f"{1000 + a}\t{a + 10}\t2", f"{1000 + a}\t{(a * 7) % articles + 10}\t1" if (a * 7) % articles != a else f"{1000 + a} {a + 5000} 1"]
            if a == 3:
                rel.append(f"{1000 + a}\t{a + 5000}\t2")
        members[f"wiki-clir/{name}/wiki_{code}.documents"] = joined(documents)
        members[f"wiki-clir/{name}/en2{code}.rel"] = joined(rel)
    names = sorted((name for name in members if not name.endswith(without or "-")), reverse=shuffle is not None)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for member in names:
            entry = tarfile.TarInfo(member)
            entry.size = len(members[member])
            archive.addfile(entry, io.BytesIO(members[member]))
    return out.getvalue()


def large_scale_site(**how: Any) -> Site:
    return Site({"/~kevinduh/a/wikiclir2018/wiki-clir.tar.gz": large_scale_archive(**how)})


def small_large_scale(content: dict[str, Any]) -> None:
    content["recipe"] |= {"queries_per_pair": 40, "train_per_pair": 12, "dev_per_pair": 4}
    content["expect"] |= {"documents": 1000, "judgements": 1000, "queries_per_pair": [40, 40]}


# --- CLIRMatrix -------------------------------------------------------------------------------------------------------------------------

MULTI8 = ("ar", "de", "en", "es", "fr", "ja", "ru", "zh")


def clirmatrix_site(**how: Any) -> Site:
    """As ``_clirmatrix_site``, made once for each way."""
    made = _clirmatrix_site(**how)
    copy = Site(dict(made.files))
    copy.index = deepcopy(made.index)
    return copy


@cache
def _clirmatrix_site(lines: int = 40, train: int = 60, shuffle: int | None = None) -> Site:
    """The index, the query files of all splits, and the document collections. Line i of a split is article ``base + i`` of each language.

    A query's list: a gold document (label 6 where i is even), graded others, filler of label 0. Every tenth gold document is absent from the
    collection, every eleventh is a stub, and two golds of a language have equal texts.
    """
    site = Site()
    index: dict[str, dict[str, Any]] = {"clirmatrix_docs": {}, "clirmatrix_multi8": {}}
    rng = random.Random(shuffle)

    def add(block: str, key: str, path: str, raw: bytes) -> None:
        packed = gzip.compress(raw, 1, mtime=0)
        site.files[path] = packed
        index[block][key] = {"url": path, "size_hint": len(packed), "expected_md5": hashlib.md5(packed).hexdigest(), "cache_path": path[1:]}

    offset = {"test1": 0, "test2": 10_000, "dev": 20_000, "train": 30_000}
    number = {language: 1_000_000 * (i + 1) for i, language in enumerate(MULTI8)}
    for split, first in offset.items():
        for q in MULTI8:
            for d in MULTI8:
                if q == d:
                    continue
                rows = []
                for i in range(train if split == "train" else lines):
                    article = i if split == "train" and i % 12 == 7 else first + i  # every twelfth training line is an evaluated article
                    # the mate for half of the queries; for the others a neighbour, the same for several query languages
                    gold = number[d] + (article if (i + MULTI8.index(q)) % 3 else first + (i * 3 + 1) % lines)
                    others = [number[d] + first + (i * 5 + k) % 97 for k in range(1, 9)]
                    results = [[str(gold), 6 if i % 2 == 0 else 5]] + [[str(o), max(1, 5 - k // 2)] for k, o in enumerate(others) if o != gold]
                    results += [[str(number[d] + first + 100 + k), 0] for k in range(4)]
                    if split == "train" and i % 12 == 5:
                        results[0][0] = str(number[d] + 3)  # an evaluated document
                    named = i if split == "train" and i % 12 == 3 else article  # a title that is evaluated, too
                    title = f"{q} title {named} {words(f'{q}{named}', 2)}"
                    rows.append(json.dumps({"src_id": str(number[q] + article), "src_query": title, "tgt_results": results}))
                add(
                    "clirmatrix_multi8",
                    f"queries/{q}_{d}/{split}",
                    f"/~shuosun/clirmatrix/data/MULTI-8/{q}/{q}.{d}.{split}.jl.gz",
                    ("\n".join(rows) + "\n\n").encode(),
                )
    for d in MULTI8:
        documents = []
        for first in offset.values():
            for a in range(110):
                if a % 10 == 9 and a < 100:
                    continue
                text = "x" if a % 11 == 10 else f"{d} article {first + (a if a != 4 else 3)} {words(f'{d}{first + (a if a != 4 else 3)}', 25)}"
                documents.append(f"{number[d] + first + a}\t{text}")
        if shuffle is not None:
            rng.shuffle(documents)
        add("clirmatrix_docs", f"docs/{d}", f"/~shuosun/clirmatrix/data/DOCS/{d}.tsv.gz", ("\n".join(documents) + "\n").encode())
    site.index = index
    return site


def finish_clirmatrix(site: Site) -> None:
    """Write the index, whose addresses need the server's."""
    blocks = {block: {k: {**e, "url": site.url(e["url"])} for k, e in entries.items()} for block, entries in site.index.items()}
    site.files["/~shuosun/clirmatrix/data/downloads.json.gz"] = gzip.compress(json.dumps(blocks).encode(), 1, mtime=0)


def small_clirmatrix(content: dict[str, Any]) -> None:
    content["recipe"] |= {"queries_per_pair": 40, "train_per_pair": 12, "dev_per_pair": 4}


# --- mMARCO -----------------------------------------------------------------------------------------------------------------------------

MMARCO = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "hi": "hindi", "id": "indonesian", "it": "italian", "ja": "japanese",
    "nl": "dutch", "pt": "portuguese", "ru": "russian", "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip
MMARCO_PATH = "/datasets/unicamp-dl/mmarco/resolve/6d039c4638c0ba3e46a9cb7b498b145e7edc6230/data"


def mmarco_site(**how: Any) -> Site:
    """As ``_mmarco_site``, made once for each way."""
    return Site(dict(_mmarco_site(**how).files))


@cache
def _mmarco_site(lines: int = 3000, golds: int = 140, shuffle: int | None = None) -> Site:
    """Collections of ``lines`` passages in 14 languages, sorted by id; ``golds`` relevant ones, some with two queries, some queries with two passages."""
    site, rng = Site(), random.Random(5)
    passages = sorted(rng.sample(range(lines), golds + 120))
    evaluated, spare = passages[:golds], passages[golds:]
    qrels = [(20_000 + i - (i % 10 == 9), p) for i, p in enumerate(evaluated)] + [(90_000 + i, p) for i, p in enumerate(evaluated[:4])]
    train = [(500_000 + i, p) for i, p in enumerate(spare[:80])] + [(700_000, evaluated[0])]
    dev = [(300_000 + i, p) for i, p in enumerate(spare[80:])] + qrels
    order = random.Random(shuffle)

    def rows(pairs: list[tuple[int, int]]) -> bytes:
        mine = list(pairs)
        if shuffle is not None:
            order.shuffle(mine)
        return "".join(f"{q}\t0\t{p}\t1\n" for q, p in mine).encode()

    def add(path: str, raw: bytes) -> None:
        site.files[f"{MMARCO_PATH}/{path}"] = raw

    add("qrels.dev.small.tsv", rows(qrels))
    add("qrels.dev.tsv", rows(dev))
    site.files["/msmarcoranking/qrels.train.tsv"] = rows(train)
    free = sorted(set(range(lines)) - set(passages))
    triples = [f"{q}\t{p}\t{free[(7 * i + k) % len(free)]}\n" for i, (q, p) in enumerate(train) for k in range(3)]
    add("triples.train.ids.small.tsv", "".join(triples).encode())
    for language, name in MMARCO.items():
        add(
            f"google/collections/{name}_collection.tsv",
            b"".join(f"{p}\t {language} passage {p} {words(f'{language}{p}', 4 + p % 37)}\n".encode() for p in range(lines)),
        )
        for kind, pairs in (("dev/{}_queries.dev.small", qrels), ("dev/{}_queries.dev", dev), ("train/{}_queries.train", train)):
            named = {q: 20_000 if q == 500_003 else q for q, _ in pairs}  # one training question reads like an evaluated one
            asked = [f"{q}\t {language} question {n} {words(f'{language}q{n}', 4)}\n" for q, n in named.items()]
            if shuffle is not None:
                order.shuffle(asked)
            add(f"google/queries/{kind.format(name)}.tsv", "".join(asked).encode())
    return site


def small_mmarco(content: dict[str, Any]) -> None:
    content["recipe"] |= {"lines": 3000, "train_per_pair": 5, "dev_per_pair": 2}
    content["recipe"].pop("ids_sha256")
    content["expect"] |= {"documents": 140, "queries": 1960, "judgements": 1960, "queries_per_pair": [10, 10]}
