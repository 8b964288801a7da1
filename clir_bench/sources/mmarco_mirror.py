"""A second copy of mMARCO's documents as parquet on the hub (13 languages, about 106,813 each), to compare ours with. Never a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clir_bench.errors import DownloadError
from clir_bench.sources.sampling import norm

REPOSITORY, REVISION = "lopozz/MMarcoRetrievalMultilingual", "44480423f56a42b948edd899c707e640b8e46f19"


class Mirror:
    """The mirror's list of files. Raises DownloadError where it cannot be had."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi

        try:
            self.api = HfApi()
            self.names = self.api.list_repo_files(REPOSITORY, repo_type="dataset", revision=REVISION)
        except Exception as error:  # the hub's client lets its HTTP library's errors through
            raise _unreadable(error) from error

    def compare(self, texts: Mapping[str, Mapping[int, str]]) -> tuple[dict[str, int], tuple[str, ...]]:
        """How many of our documents the mirror has equal, different and not at all, with a line for each language that differs."""
        counts = {"mirror_equal": 0, "mirror_different": 0, "mirror_absent": 0}
        notes = []
        for language, ours in texts.items():
            shards = [n for n in self.names if n.startswith(f"{language}-corpus/") and n.endswith(".parquet")]
            if not shards:
                notes.append(f"mirror, {language}: not in the mirror")
                continue
            theirs: dict[int, str] = {}
            for name in shards:
                try:
                    path = Path(self.api.hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=REVISION))
                except Exception as error:
                    raise _unreadable(error) from error
                theirs.update(_read(path, set(ours)))
            different = [p for p, text in ours.items() if p in theirs and theirs[p] != text]
            absent = sum(p not in theirs for p in ours)
            counts["mirror_different"] += len(different)
            counts["mirror_absent"] += absent
            counts["mirror_equal"] += len(ours) - len(different) - absent
            if different or absent:
                notes.append(f"mirror, {language}: {len(different)} differ (the first is {min(different, default='-')}), {absent} absent")
        return counts, tuple(notes)


def _unreadable(error: Exception) -> DownloadError:
    return DownloadError(f"the mirror {REPOSITORY}@{REVISION[:12]} cannot be read: {error}. Leave out --cross-check to build without it.")


def _read(path: Path, wanted: set[int]) -> dict[int, str]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    key = "_id" if "_id" in table.column_names else "id"
    ids, texts = table.column(key).to_pylist(), table.column("text").to_pylist()
    return {int(i): norm(text) for i, text in zip(ids, texts, strict=True) if int(i) in wanted}
