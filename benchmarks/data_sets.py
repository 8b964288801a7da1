"""Builders at official sizes: lines of a huge file by HTTP Range, peak memory of each build, the same bytes whatever the order of the files.

python benchmarks/data_sets.py                                          everything: 30 to 40 minutes on two cores, 12 GB of disk
python benchmarks/data_sets.py --folder DIR --part range                lines by Range; generated files stay in the folder and are used again
python benchmarks/data_sets.py --folder DIR --part memory --task mmarco
python benchmarks/data_sets.py --small                                  a fiftieth of the sizes, in two minutes: the script's own check

Nothing is downloaded: synthetic files in the official formats come from the loopback server of tests/official.py. Texts are made-up words in each
language's script, with a dash beyond Latin-1 every 300 words and a character beyond the basic plane every 100,000, as Wikipedia has them: they decide
how many bytes Python takes for a character. Builds run in a process of their own, beside the server's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _synthetic import Facts, Lines, Prose, digits, made, pack, size_of
from _timing import machine

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import official
from official import LARGE_SCALE_FOLDERS, MMARCO, MMARCO_PATH, MULTI8, Site, localise, serving

from clir_bench.sources import building, clirmatrix_files, store, workshop
from clir_bench.sources.building import Options
from clir_bench.sources.mmarco import assign
from clir_bench.sources.ranges import RemoteRanges, fetch_lines
from clir_bench.task import load_task
from clir_bench.task_records import Download

NEEDED = 12e9
GOAL_MB = 1000
SMALL = 50

# --- 1. lines by Range


def make_collection(folder: Path, scale: int) -> Facts:
    """``passage<TAB>text``, 8,841,823 lines in order, 3.4 GB; ten neighbours are about as long, as the passages of one query are."""
    lines, rng, prose = 8_841_823 // scale, np.random.default_rng(1), Prose("en")
    together = np.repeat(rng.lognormal(-0.02, 0.2, lines // 10 + 1), 10)[:lines]
    words = (rng.lognormal(-0.08, 0.4, lines) * together * 376 / prose.mean).clip(5, 400).astype(int)
    with (folder / "collection.tsv").open("wb") as out:
        for piece in Lines.of(b"%d\t%s\n", np.arange(lines), prose, words, rng):
            out.write(piece)
    return {"path": str(folder / "collection.tsv"), "lines": lines, "bytes": (folder / "collection.tsv").stat().st_size}


def measure_ranges(folder: Path, scale: int) -> None:
    facts = made(folder, "range", lambda place: make_collection(place, scale))
    path, lines = Path(facts["path"]), facts["lines"]
    passages = sampled(7433 // scale, lines)
    languages = assign(passages, load_task("mmarco").languages, 42)
    few = sorted(p for p in passages if languages[p] == "ar")
    held = {}
    with path.open("rb") as stream:  # the sequential read that every fetched line is compared with
        for number, line in enumerate(stream):
            if number in languages:
                held[number] = line.rstrip(b"\n").partition(b"\t")[2]
    print(f"\n1. lines by Range from {lines:,} lines in order, {facts['bytes'] / 1e9:.2f} GB, {facts['bytes'] / lines:.0f} bytes a line")
    print(f"{'':49} {'requests':>9} {'MB':>7} {'% of file':>9} {'goal %':>7} {'rounds':>7} {'resolved':>8} {'seconds':>8} {'mismatches':>10}")
    address = f"{MMARCO_PATH}/google/collections/english_collection.tsv"
    cases = [(few, window, 10**9, 1.2 if window == 32 else None) for window in (16, 32, 64)] + [(few, 32, 300, 1.2), (passages, 32, 10**9, 10.0)]
    for wanted, window, uses, goal in cases:
        with serving(Site({address: path}, signed_uses=uses)) as site:
            got: dict[int, bytes] = {}
            start = time.perf_counter()
            remote = RemoteRanges(Download(name="collection", url=site.url(address), bytes=facts["bytes"]))
            traffic = fetch_lines(remote, wanted, lines, got.__setitem__, window=window * 1024)
            seconds = time.perf_counter() - start
            sent = sum(size for _, _, status, size in site.log if status == 206)
        label = f"{len(wanted):,} lines, windows of {window} KB" + (f", address good for {uses}" if uses < 10**9 else "")
        wrong = sum(got.get(number) != held[number] for number in wanted) + len(set(got) - set(wanted))
        print(
            f"{label:49} {traffic.requests:9,} {traffic.bytes / 1e6:7.1f} {100 * sent / facts['bytes']:9.2f} {goal or '-':>7} {traffic.rounds:7} "
            f"{remote.resolved:8} {seconds:8.1f} {wrong:10}",
            flush=True,
        )


def sampled(number: int, lines: int) -> list[int]:
    """Line numbers by SHA-256, sorted."""
    found: dict[int, None] = {}
    i = 0
    while len(found) < number:
        found[int.from_bytes(hashlib.sha256(f"42:mmarco:{i}".encode()).digest()[:8], "big") % lines] = None
        i += 1
    return sorted(found)


# --- 2. memory: Large-Scale CLIR

# documents, queries, judgements of each language, as published
OFFICIAL = {
    "ar": (535_118, 324_489, 519_269), "ca": (548_722, 339_586, 965_233), "cs": (386_906, 233_553, 954_370), "de": (2_091_278, 938_217, 5_550_454),
    "en": (127_089, 114_572, 250_380), "es": (1_302_958, 781_642, 2_894_807), "fi": (418_677, 273_819, 939_613), "fr": (1_894_397, 1_089_179, 5_137_366),
    "it": (1_347_011, 808_605, 3_443_633), "ja": (1_071_292, 426_431, 3_338_667), "ko": (394_177, 224_855, 568_205), "nl": (1_908_260, 687_718, 2_334_644),
    "nn": (133_290, 99_493, 250_141), "no": (471_420, 299_897, 963_514), "pl": (1_234_316, 693_656, 2_471_360), "pt": (973_057, 611_732, 1_741_889),
    "ro": (376_655, 199_264, 451_180), "ru": (1_413_945, 664_924, 2_321_384), "sv": (3_785_412, 639_073, 2_069_453), "sw": (37_079, 22_860, 57_924),
    "tl": (79_008, 48_930, 72_359), "tr": (295_593, 185_388, 380_651), "uk": (704_903, 348_222, 913_358), "vi": (1_392_152, 354_312, 611_355),
    "zh": (951_480, 463_273, 926_130),
}  # fmt: skip
ENGLISH_QUERIES = 1_950_000


def make_archive(folder: Path, scale: int) -> Facts:
    """wiki-clir.tar.gz: judgements of official numbers in all languages; documents of official number in German and the five smallest, else 1 in 20."""
    rng = np.random.default_rng(2)
    english = 10_000_000 + np.arange(ENGLISH_QUERIES // scale)

    def member(name: str, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
        entry = official.tarfile.TarInfo(f"wiki-clir/{name}")
        entry.size = size
        yield entry.tobuf()
        written = 0
        for piece in pieces:
            written += len(piece)
            yield piece
        assert written == size, name
        yield bytes(-size % 512)

    def archive() -> Iterator[bytes]:
        queries = Lines.of(b"%d\ttopic\tis a %s\n", english, Prose("en"), (6, 20), rng)
        yield from member("english/wiki_en.queries", queries.size, iter(queries))
        for language, name in sorted(LARGE_SCALE_FOLDERS.items(), key=lambda item: item[1]):
            documents, asked, judged = (n // scale for n in OFFICIAL[language])
            documents = documents if language == "de" or documents * scale < 140_000 else max(documents // 20, 40_000 // scale)
            code = "simple" if language == "en" else language
            texts = Lines.of(b"%d\ttopic\t %s\n", 1_000_000 + rng.permutation(documents), Prose(language), (60, 170), rng)
            yield from member(f"{name}/wiki_{code}.documents", texts.size, iter(texts))
            chosen = rng.permutation(english)[:asked]
            row = np.sort(np.concatenate([np.arange(asked), rng.integers(0, asked, judged - asked)]))
            mate = np.diff(row, prepend=-1) > 0  # the first line of each query
            document = 1_000_000 + np.where(mate, row % documents, rng.integers(0, documents, judged))
            cells = np.full((judged, 19), ord("\t"), np.uint8)
            cells[:, :8], cells[:, 9:16], cells[:, 17], cells[:, 18] = digits(chosen[row], 8), digits(document, 7), ord("1") + mate, ord("\n")
            yield from member(f"{name}/en2{code}.rel", cells.size, iter([cells.tobytes()]))
        yield bytes(1024)

    return pack(folder / "wiki-clir.tar.gz", archive())


def measure_large_scale(folder: Path, scale: int) -> list[Facts]:
    facts = made(folder, "large_scale", lambda place: make_archive(place, scale))

    def change(content: dict[str, Any]) -> None:
        content["files"][0]["md5"] = facts["md5"]
        if scale > 1:
            content["recipe"] |= {"queries_per_pair": 100, "train_per_pair": 60, "dev_per_pair": 10}
            content["expect"] |= {"documents": 2500, "judgements": 2500, "queries_per_pair": [100, 100]}

    with serving(Site({"/~kevinduh/a/wikiclir2018/wiki-clir.tar.gz": Path(facts["path"])})) as site:
        return [measured("large_scale", site, folder, change, train, {"archive": facts["unpacked"]}) for train in (False, True)]


# --- 2. memory: CLIRMatrix

TOPICS = {"test1": 1_000, "test2": 1_000, "dev": 1_000, "train": 10_000}
PAGES = {"en": 2_110_000, "zh": 1_150_000}  # page numbers; one in twenty is not in the collection. English has three times as many in truth
OTHER_PAGES = 270_000


def make_matrix(folder: Path, scale: int) -> Facts:
    """Document collections and the query files of all splits. A topic's lists agree mostly at the top, partly to rank 40, and then are filler."""
    found: Facts = {}
    for number, d in enumerate(MULTI8):
        rng, pages = np.random.default_rng(number), PAGES.get(d, OTHER_PAGES) // scale
        page = rng.permutation(pages)
        page = page[page % 20 != 19]
        texts = Lines.of(b"%d\t%s\n", 1_000_000 + page, Prose(d), (120, 201), rng)
        texts.ends = np.where(page % 1000 == 7, texts.starts + 1, texts.ends)  # stubs
        found[f"docs/{d}"] = pack(folder / f"{d}.tsv.gz", iter(texts))
    first = 0
    for split, all_topics in TOPICS.items():
        topics = max(all_topics // scale, 40)
        for i, q in enumerate(MULTI8):
            titles = [f"{q} {split} {t} {official.words(f'{q}{split}{t}', 2)}".encode() for t in range(topics)]
            for j, d in enumerate(MULTI8):
                if q != d:
                    results = results_of(np.arange(first, first + topics), i, j, PAGES.get(d, OTHER_PAGES) // scale)
                    mates = (mate_of(np.arange(first, first + topics), i, PAGES.get(q, OTHER_PAGES) // scale) + 1_000_000).tolist()
                    rows = [
                        b'{"src_id": "%d", "src_query": "%s", "tgt_results": [%s]}\n' % (mates[t], titles[t], results[t].tobytes()[:-2]) for t in range(topics)
                    ]
                    found[f"multi8/{split}/{q}_{d}"] = pack(folder / f"{q}.{d}.{split}.jl.gz", iter([b"".join(rows)]))
        first += topics
    return found


def mate_of(topics: np.ndarray, language: int, pages: int) -> np.ndarray:
    """The page of each topic in a language."""
    return (topics * 7919 + language * 31) % pages


def results_of(topics: np.ndarray, query: int, document: int, pages: int) -> np.ndarray:
    """uint8 [topics, 100 * 16]: ``["1234567", 3], `` a hundred times: the mate first in 39 of 40, then 7 and 292 pages of the topic, then any."""
    rank = np.arange(100)
    choice = np.where(rank < 3, 1 + (rank + 3 * query) % 7, np.where(rank < 40, 8 + (rank * 7 + 41 * query) % 292, 1000 + 100 * query + rank))
    of_topic = topics[:, None].astype(np.uint64) * np.uint64(0x9E3779B1) + (choice * 40_503 + document * 977).astype(np.uint64) * np.uint64(0x85EBCA6B)
    found = ((of_topic ^ (of_topic >> np.uint64(29))) % np.uint64(pages)).astype(np.int64)
    found[:, 0] = np.where((topics + query) % 40 == 0, found[:, 0], mate_of(topics, document, pages))
    label = np.select([rank < 3, rank < 10, rank < 20, rank < 30, rank < 40], [5, 4, 3, 2, 1], 0)
    cells = np.empty((len(topics), 100, 16), np.uint8)
    cells[:] = np.frombuffer(b'["1234567", 3], ', np.uint8)
    cells[:, :, 2:9] = digits(1_000_000 + found, 7)
    cells[:, :, 12] = label + ord("0")
    cells[:, 0, 12] = np.where((topics + query) % 3, ord("6"), ord("5"))
    return cells.reshape(len(topics), -1)


def measure_clirmatrix(folder: Path, scale: int) -> list[Facts]:
    facts = made(folder, "clirmatrix", lambda place: make_matrix(place, scale))

    def change(content: dict[str, Any]) -> None:
        if scale > 1:
            content["recipe"] |= {"train_per_pair": 20, "dev_per_pair": 4}

    base = "/~shuosun/clirmatrix/data"
    with serving(Site()) as site:
        blocks: dict[str, dict[str, Any]] = {"clirmatrix_docs": {}, "clirmatrix_multi8": {}, "clirmatrix_bi139_base": {}, "clirmatrix_bi139_full": {}}

        def add(block: str, key: str, path: str, size: int, md5: str) -> None:
            blocks[block][key] = {"url": site.url(f"{base}/{path}"), "size_hint": size, "expected_md5": md5, "cache_path": path}

        for name, file in facts.items():
            kind, *rest = name.split("/")
            key, path = f"docs/{rest[0]}", f"DOCS/{rest[0]}.tsv.gz"
            if kind == "multi8":
                key, path = f"queries/{rest[1]}/{rest[0]}", f"MULTI-8/{rest[1].replace('_', '.')}.{rest[0]}.jl.gz"
            add(f"clirmatrix_{kind}", key, path, file["bytes"], file["md5"])
            site.files[f"{base}/{path}"] = Path(file["path"])
        numbers = random.Random(0)
        for block in ("base", "full"):  # what else the real index lists: 139 x 138 pairs, 3 splits
            for i in range(139 * 138 * 3 // scale):
                path = f"BI-139/{block}/{i // 414}/{i // 414}.{i // 3 % 138}.{i % 3}.jl.gz"
                add(f"clirmatrix_bi139_{block}", f"queries/{i // 414}_{i // 3 % 138}/{i % 3}", path, i, f"{numbers.getrandbits(128):032x}")
        site.files[f"{base}/downloads.json.gz"] = gzip.compress(json.dumps(blocks).encode(), 1, mtime=0)
        unpacked = {name.replace("/", "__"): file["unpacked"] for name, file in facts.items()}
        return [measured("clirmatrix", site, folder, change, train, unpacked) for train in (False, True)]


# --- 2. memory: mMARCO


def mmarco_files(lines: int, golds: int, scale: int) -> dict[str, bytes]:
    """Everything but the collections, by the path's form with ``{}`` for a language's name."""
    rng, prose = np.random.default_rng(4), Prose("en")
    numbers = rng.permutation(lines)
    evaluated = sampled(golds, lines)
    others = numbers[~np.isin(numbers, evaluated)]
    small = [(2_000_000 + i % (6_980 // scale), p) for i, p in enumerate(evaluated)] + [(2_000_000 + i, p) for i, p in enumerate(evaluated[4:8])]
    dev = [*small, *((3_000_000 + i, p) for i, p in enumerate(others[: 59_273 // scale - len(small)].tolist()))]
    train = [(4_000_000 + i, p) for i, p in enumerate(others[100_000 // scale :][: 532_761 // scale].tolist())]
    drawn, negative = rng.integers(0, len(train), 900_000 // scale).tolist(), rng.integers(0, lines, 900_000 // scale).tolist()

    def asked(numbers: list[int]) -> bytes:
        return b"".join(Lines.of(b"%d\t %s\n", rng.permutation(sorted(numbers)), prose, (5, 10), rng))

    def rows(pairs: list[tuple[int, int]]) -> bytes:
        return "".join(f"{q}\t0\t{p}\t1\n" for q, p in pairs).encode()

    spare = range(5_000_000, 5_000_000 + (808_731 - 532_761) // scale)
    return {
        f"{MMARCO_PATH}/qrels.dev.small.tsv": rows(small),
        f"{MMARCO_PATH}/qrels.dev.tsv": rows(dev),
        "/msmarcoranking/qrels.train.tsv": rows(train),
        f"{MMARCO_PATH}/triples.train.ids.small.tsv": "".join([f"{train[i][0]}\t{train[i][1]}\t{n}\n" for i, n in zip(drawn, negative, strict=True)]).encode(),
        f"{MMARCO_PATH}/google/queries/dev/{{}}_queries.dev.small.tsv": asked(list({q for q, _ in small})),
        f"{MMARCO_PATH}/google/queries/dev/{{}}_queries.dev.tsv": asked(list({q for q, _ in dev})),
        f"{MMARCO_PATH}/google/queries/train/{{}}_queries.train.tsv": asked([*(q for q, _ in train), *spare]),
    }


def measure_mmarco(folder: Path, scale: int) -> list[Facts]:
    facts = made(folder, "range", lambda place: make_collection(place, scale))
    golds = 7433 // scale

    def change(content: dict[str, Any]) -> None:
        content["recipe"]["lines"] = facts["lines"]
        content["recipe"].pop("ids_sha256")
        if scale > 1:
            content["recipe"] |= {"train_per_pair": 20, "dev_per_pair": 4}
            content["expect"] |= {"documents": golds, "queries": golds * 14, "judgements": golds * 14, "queries_per_pair": [golds // 14, -(-golds // 14)]}

    site = Site()
    for path, content in mmarco_files(facts["lines"], golds, scale).items():
        site.files |= {path.format(name): content for name in MMARCO.values()}
    site.files |= {f"{MMARCO_PATH}/google/collections/{name}_collection.tsv": Path(facts["path"]) for name in MMARCO.values()}
    with serving(site):
        return [measured("mmarco", site, folder, change, train, {}) for train in (False, True)]


# --- 2. memory: a build in a process of its own


def measured(name: str, site: Site, folder: Path, change: Callable[[dict[str, Any]], None], train: bool, unpacked: dict[str, int]) -> Facts:
    """Build in another process, while this one serves the files and looks at the disk."""
    task = localise(name, site, folder / "tasks", change)
    cache, mark = folder / f"cache-{name}", len(site.log)
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, __file__, "--build", str(task), str(cache), *(["--train"] if train else [])]
    disk = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            time.sleep(0.25)
            disk = max(disk, size_of(cache / "work") if (cache / "work").is_dir() else 0)
        answer = child.stdout.read() if child.stdout else ""
    if child.returncode:
        raise SystemExit(f"{name}: the build failed")
    shutil.rmtree(cache)
    read = sum(size for _, _, _, size in site.log[mark:])
    found = {**json.loads(answer.splitlines()[-1]), "name": f"{name}{', train' if train else ''}", "disk": disk, "read": read, "unpacked": unpacked}
    print(f"{found['name']}: built in {found['seconds']:.0f} s, peak {found['peak']:.0f} MB", flush=True)
    return found


def build(task: Path, cache: Path, train: bool) -> None:
    """In a process of its own: build, then print what it took."""
    passes: list[tuple[str, float]] = []
    before_writing = [0.0]

    def timed(reading: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def timed_reading(path: Path, label: str, progress: bool) -> Iterator[Any]:
            start = time.perf_counter()
            try:
                with reading(path, label, progress) as stream:
                    yield stream
            finally:
                passes.append((path.name, time.perf_counter() - start))

        return timed_reading

    def noting(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_noted(*arguments: Any) -> Any:
            before_writing[0] = peak()
            return write(*arguments)

        return write_noted

    workshop.reading_gzip = clirmatrix_files.reading_gzip = timed(workshop.reading_gzip)
    store.write_collection = noting(store.write_collection)
    at_start, start = peak(), time.perf_counter()
    place = building.build_task(load_task(task), Options(cache=cache, train=train, agree=lambda _: True))
    seconds, examples = time.perf_counter() - start, 0
    after = peak()
    manifest = store.read_manifest(place)
    if manifest and "train_pairs.parquet" in manifest.files:
        examples = manifest.files["train_pairs.parquet"].rows
    print(
        json.dumps({"peak": after, "start": at_start, "before_writing": before_writing[0], "seconds": seconds, "passes": passes, "examples": examples}),
        flush=True,
    )


def peak() -> float:
    """Peak resident MB of this process. Not ``ru_maxrss`` where Linux tells more: that of a spawned process begins at its parent's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure_memory(folder: Path, scale: int, only: str | None) -> None:
    tasks = {"large_scale": measure_large_scale, "clirmatrix": measure_clirmatrix, "mmarco": measure_mmarco}
    found = [row for name, measure in tasks.items() if only in (None, name) for row in measure(folder, scale)]
    print(f"\n2. peak resident memory of a build, goal under {GOAL_MB:,} MB")
    print(
        f"{'':22} {'imports MB':>10} {'to writing':>10} {'peak MB':>8} {'goal MB':>8} {'':>4} {'seconds':>8} {'read MB':>9} {'work disk MB':>12} {'examples':>9}"
    )
    for row in found:
        verdict = "ok" if row["peak"] < GOAL_MB else "OVER"
        print(
            f"{row['name']:22} {row['start']:10.0f} {row['before_writing']:10.0f} {row['peak']:8.0f} {GOAL_MB:8} {verdict:>4} {row['seconds']:8.0f} "
            f"{row['read'] / 1e6:9,.0f} {row['disk'] / 1e6:12,.0f} {row['examples']:9,}"
        )
    if not any(row["passes"] for row in found):
        return
    print(f"\n   streaming passes\n{'':22} {'file':16} {'passes':>7} {'unpacked GB':>12} {'seconds':>8} {'MB/s':>7}")
    for row in found:
        groups: dict[str, list[tuple[int, float]]] = {}
        for at, (name, seconds) in enumerate(row["passes"]):
            label = "query files" if name.startswith("multi8") else f"archive, pass {at + 1}" if name == "archive" else name.replace("__", "/")
            groups.setdefault(label, []).append((row["unpacked"][name], seconds))
        for label, taken in groups.items():
            size, seconds = sum(s for s, _ in taken), sum(s for _, s in taken)
            print(f"{row['name']:22} {label:16} {len(taken):7} {size / 1e9:12.2f} {seconds:8.1f} {size / 1e6 / seconds:7.0f}")


# --- 3. order


def measure_order(folder: Path) -> None:
    """Lines and members in two orders, over HTTP and from a folder: one fingerprint, equal tables."""
    print(
        f"\n3. miniature data sets with training data; lines and members in two orders, over HTTP and from --source-dir; goal: all equal\n"
        f"{'':14} {'builds':>6} {'fingerprints':>13} {'tables':>7} {'equal bytes':>12}  fingerprint"
    )
    miniatures = {
        "large_scale": (official.large_scale_site, official.small_large_scale),
        "clirmatrix": (official.clirmatrix_site, official.small_clirmatrix),
        "mmarco": (official.mmarco_site, official.small_mmarco),
    }
    for name, (make, small) in miniatures.items():
        prints, tables = [], []
        for shuffle, local in ((None, False), (7, False), (None, True), (8, True)):
            place = folder / "order" / f"{name}-{shuffle}-{local}"
            with serving(make(shuffle=shuffle)) as site:
                if name == "clirmatrix":
                    official.finish_clirmatrix(site)
                task = load_task(localise(name, site, place / "tasks", small))
                for path, content in site.files.items() if local else ():
                    (place / "mine" / path[1:]).parent.mkdir(parents=True, exist_ok=True)
                    (place / "mine" / path[1:]).write_bytes(content)
                options = Options(cache=place / "cache", source_dir=place / "mine" if local else None, train=True, agree=lambda _: True)
                built = building.build_task(task, options)
                assert not (local and site.log), "a build from a folder asked the server"
            manifest = store.read_manifest(built)
            prints.append(manifest.fingerprint if manifest else "")
            tables.append({path.name: path.read_bytes() for path in sorted(built.glob("*.parquet"))})
        equal = sum(all(found.get(table) == content for found in tables) for table, content in tables[0].items())
        same = "equal" if len(set(prints)) == 1 else f"{len(set(prints))} differ"
        print(f"{name:14} {len(prints):6} {same:>13} {len(tables[0]):7} {f'{equal} of {len(tables[0])}':>12}  {prints[0][:23]}", flush=True)
    shutil.rmtree(folder / "order", ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the generated files here; default: a temporary folder, deleted at the end")
    parser.add_argument("--part", choices=("range", "memory", "order"))
    parser.add_argument("--task", choices=("large_scale", "clirmatrix", "mmarco"), help="of the memory part only this one")
    parser.add_argument("--small", action="store_true", help="a fiftieth of the sizes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder and options.folder.parent) as temporary:
        folder = (options.folder or Path(temporary)) / ("small" if options.small else "full")
        folder.mkdir(parents=True, exist_ok=True)
        if not options.small and (free := shutil.disk_usage(folder).free) < NEEDED:
            raise SystemExit(f"{folder}: {free / 1e9:.1f} GB are free, but {NEEDED / 1e9:.0f} GB are needed. Choose another --folder, or --small.")
        print(machine(), flush=True)
        scale = SMALL if options.small else 1
        if options.part in (None, "range"):
            measure_ranges(folder, scale)
        if options.part in (None, "memory"):
            measure_memory(folder, scale, options.task)
        if options.part in (None, "order"):
            measure_order(folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--build"]:
        build(Path(sys.argv[2]), Path(sys.argv[3]), "--train" in sys.argv)
    else:
        main()
