"""Model folders: fetched from the hub or given, known by their commit or by the hash of their files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clir_bench.errors import ModelError

WEIGHTS = (".safetensors", ".bin")
_WORDS = ("*.json", "*.txt", "*.model", "*.spm", "README.md")
_UNHASHED = (".git", ".cache")  # below .cache, the hub's client notes when it fetched a file


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on disk. ``name`` is the hub's, or the folder's own; ``revision`` a commit or ``sha256:...``."""

    folder: Path
    name: str
    revision: str
    licence: str | None
    local: bool

    @property
    def key_name(self) -> str:
        """What an identity calls it: where a folder lies decides nothing, its hash does."""
        return "folder" if self.local else self.name


def fetch_checkpoint(model: str, revision: str | None = None) -> Checkpoint:
    """A model's files: those of a folder, or of the hub's repository (downloaded once; safetensors where it has them). Raises ModelError."""
    if Path(model).is_dir():
        folder = Path(model)
        return Checkpoint(folder, folder.resolve().name, folder_hash(folder), model_licence(folder), local=True)
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*_WORDS, "*.safetensors"]))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(model, revision=revision, allow_patterns=[*_WORDS, "pytorch_model*.bin", "model.bin"]))
    except Exception as error:
        raise ModelError(cannot_load(model, revision, error)) from error
    return Checkpoint(folder, model, folder.name, model_licence(folder), local=False)


def folder_hash(folder: Path) -> str:
    """``sha256:`` over the names and contents of all files of a model folder: two checkpoints in one path are two models. Raises ModelError."""
    refuse_adapter(folder, str(folder))
    digest = hashlib.sha256()
    for file in sorted(_files(folder), key=lambda f: f.relative_to(folder).as_posix()):
        with file.open("rb") as stream:
            digest.update(f"{file.relative_to(folder).as_posix()}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def known_revision(model: str, asked: str | None, option: str) -> str:
    """The commit of a loaded model, or the hash of a folder. ``option`` names the commit on the command line. Raises ModelError."""
    if Path(model).is_dir():
        return folder_hash(Path(model))
    folder = snapshot_folder(model, asked)
    if folder is None:
        raise ModelError(f"{model}: no revision is known. Name the commit with {option}.")
    refuse_adapter(folder, model)
    return folder.name


def refuse_adapter(folder: Path, model: str) -> None:
    """Raise ModelError for a folder that holds an adapter (LoRA): its base lies elsewhere, and nothing here would say which one was used."""
    if any(file.name == "adapter_config.json" for file in _files(folder)):
        raise ModelError(
            f"{model}: it holds an adapter (adapter_config.json), whose weights are for a base model that lies elsewhere. Merge the two"
            " (peft: merge_and_unload, then save_pretrained, with the tokenizer's files) and name the merged folder."
        )


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below, through links; a link to a folder above is a loop and not followed."""
    real = folder.resolve()
    for entry in () if real in above else folder.iterdir():
        if entry.name in _UNHASHED:
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, real))
        elif entry.is_file():
            yield entry


def weights_bytes(folder: Path | None) -> int | None:
    """The size of a model's weight files; None where there are none."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.suffix in WEIGHTS) or None if folder else None


def snapshot_folder(model: str, revision: str | None) -> Path | None:
    """The local folder of a model's files, in the hub's cache called after the commit; None if there is none."""
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(model, name, revision=revision) for name in ("config.json", "modules.json"))
    return next((Path(path).parent for path in found if isinstance(path, str)), None)


def model_licence(folder: Path | None) -> str | None:
    """The licence that the model card's front matter states."""
    card = folder / "README.md" if folder else None
    if card is None or not card.is_file():
        return None
    front = card.read_text(encoding="utf-8", errors="replace").split("---")
    found = re.search(r"^license:\s*(\S+)", front[1], re.MULTILINE) if len(front) > 2 else None
    return found[1].strip("'\"") if found else None


def cannot_load(model: str, revision: str | None, error: Exception) -> str:
    """What to tell of a model that cannot be loaded."""
    reason = re.sub(r"\s+", " ", str(error)).strip()[:300]
    if Path(model).is_dir():
        return f"{model}: not a model folder that can be loaded ({type(error).__name__}: {reason})"
    at = f" at revision {revision!r}" if revision else ""
    return (
        f"model {model!r}{at} cannot be loaded ({type(error).__name__}: {reason}). It is neither a local folder nor available from the hub or its local copy."
        " Check the name and the network, or name a downloaded folder."
    )
