from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_translators import DOCUMENTS, SENTENCES, write_madlad, write_nllb, write_opus

from clir_bench.errors import MissingExtra, ModelError
from clir_bench.parts.translators import VERSION, load_translator, nllb, opus
from clir_bench.parts.translators.local import SENTENCES as BY_SENTENCES
from clir_bench.parts.translators.local import Engine, Limits, LocalTranslator
from clir_bench.parts.translators.pieces import Made

NLLB_CODES = {
    "ar": "arb_Arab", "ca": "cat_Latn", "cs": "ces_Latn", "de": "deu_Latn", "en": "eng_Latn", "es": "spa_Latn", "fi": "fin_Latn", "fr": "fra_Latn",
    "hi": "hin_Deva", "id": "ind_Latn", "it": "ita_Latn", "ja": "jpn_Jpan", "ko": "kor_Hang", "nl": "nld_Latn", "nn": "nno_Latn", "no": "nob_Latn",
    "pl": "pol_Latn", "pt": "por_Latn", "ro": "ron_Latn", "ru": "rus_Cyrl", "sv": "swe_Latn", "sw": "swh_Latn", "tl": "tgl_Latn", "tr": "tur_Latn",
    "uk": "ukr_Cyrl", "vi": "vie_Latn", "zh": "zho_Hans",
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nllb(tmp_path_factory.mktemp("nllb"))


@pytest.fixture(scope="session")
def transformers_nllb(tiny_nllb: Path) -> LocalTranslator:
    return _load(f"nllb:{tiny_nllb}", by="sentences")


@pytest.fixture(scope="session")
def ct2_nllb(tiny_nllb: Path) -> LocalTranslator:
    return _load(f"nllb-ct2:{tiny_nllb}", dtype="float32")


@pytest.fixture
def restored(transformers_nllb: LocalTranslator, ct2_nllb: LocalTranslator) -> Iterator[None]:
    """For tests that tighten the limits of a translator."""
    yield
    transformers_nllb.limits = ct2_nllb.limits = BY_SENTENCES


def _load(spec: str, **settings: object) -> LocalTranslator:
    made = load_translator(spec, threads=1, **settings)  # type: ignore[arg-type]
    assert isinstance(made, LocalTranslator)
    return made


def english(translator: object, texts: list[str], language: str) -> list[str | None]:
    found = list(translator.translate(texts, language))  # type: ignore[attr-defined]
    assert sorted(made.row for made in found) == list(range(len(texts)))
    return [made.text for made in sorted(found)]


def test_every_language_of_the_paper_has_the_code_that_nllb_knows() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert {language: nllb.text_source("", language) for language in NLLB_CODES} == NLLB_CODES
    assert set(NLLB_CODES.values()) <= set(FAIRSEQ_LANGUAGE_CODES)
    assert nllb.source_of("zh") == "zho_Hans/zho_Hant by characters"
    assert (nllb.source_of("zh-Hant"), nllb.source_of("tlh")) == ("zho_Hant", None)


def test_nllb_translates_from_each_languages_code(transformers_nllb: LocalTranslator) -> None:
    for language, pairs in SENTENCES.items():
        assert english(transformers_nllb, [source for source, _ in pairs], language) == [target for _, target in pairs], language
    both = [SENTENCES["zh"][0], SENTENCES["zh-Hant"][0]]  # two codes in one language
    assert english(transformers_nllb, [source for source, _ in both], "zh") == [target for _, target in both]


def test_whole_documents_are_nllbs_own_way(tiny_nllb: Path) -> None:
    translator = _load(f"nllb:{tiny_nllb}")
    assert english(translator, [DOCUMENTS["de"][0]], "de") == [DOCUMENTS["de"][1]]
    facts = translator.facts()
    assert (facts.by, facts.beam, facts.max_input_tokens, facts.max_new_tokens, facts.licence) == ("document", 5, 1200, 1200, "cc-by-nc-4.0")
    assert facts.parameters == sum(t.numel() for t in load_file(tiny_nllb / "model.safetensors").values())


@pytest.mark.usefixtures("restored")
def test_documents_of_many_sentences_are_put_together_again(transformers_nllb: LocalTranslator, ct2_nllb: LocalTranslator) -> None:
    text = "\n".join([DOCUMENTS["de"][0], SENTENCES["de"][1][0], "", DOCUMENTS["de"][0]])
    target = "\n".join([DOCUMENTS["de"][1], SENTENCES["de"][1][1], "", DOCUMENTS["de"][1]])
    for translator in (transformers_nllb, ct2_nllb):
        longest = max(translator.engine.count([source for source, _ in SENTENCES["de"]], special=False))
        translator.limits = replace(BY_SENTENCES, piece=longest)
        assert english(translator, [text], "de") == [target]


def test_ctranslate2_gives_what_transformers_gives(transformers_nllb: LocalTranslator, ct2_nllb: LocalTranslator) -> None:
    compared = 0
    for language, pairs in SENTENCES.items():
        texts = [*(source for source, _ in pairs), DOCUMENTS[language][0], pairs[1][0][:9]]  # the last two are strange to the model in most languages
        theirs, ours = (sorted(translator.translate(texts, language)) for translator in (transformers_nllb, ct2_nllb))
        ended = [made.row for made in theirs if made.text]  # where transformers runs into the limit, CTranslate2 may have stopped at a shorter beam
        assert [ours[row] for row in ended] == [theirs[row] for row in ended], language
        compared += len(ended)
    assert compared >= 14


def test_batches_and_padding_change_no_translation(tiny_nllb: Path, transformers_nllb: LocalTranslator) -> None:
    texts = [source for source, _ in SENTENCES["de"]] + [DOCUMENTS["de"][0]]
    alone = _load(f"nllb:{tiny_nllb}", by="sentences", batch_tokens=1)
    assert english(alone, texts, "de") == english(transformers_nllb, texts, "de") == english(transformers_nllb, texts[::-1], "de")[::-1]


@pytest.mark.usefixtures("restored")
def test_a_translation_without_an_end_is_a_problem_and_a_cut_input_a_note(transformers_nllb: LocalTranslator, ct2_nllb: LocalTranslator) -> None:
    for translator in (transformers_nllb, ct2_nllb):
        translator.limits = replace(BY_SENTENCES, new=4)
        (made,) = translator.translate([SENTENCES["de"][0][0]], "de")
        assert (made.text, made.problem) == (None, "cut off at 4 tokens")
        room = translator.engine.count([SENTENCES["de"][0][0]], special=True)[0]
        translator.limits = replace(BY_SENTENCES, input=room)  # the first of two sentences
        (made,) = translator.translate([DOCUMENTS["de"][0]], "de")
        assert (made.text, made.truncated) == (SENTENCES["de"][0][1], True)
        (made,) = translator.translate([SENTENCES["de"][0][0]], "de")
        assert (made.text, made.truncated) == (SENTENCES["de"][0][1], False)


def test_a_whole_document_without_an_end_is_kept_and_flagged(tiny_nllb: Path, transformers_nllb: LocalTranslator) -> None:
    translator = _load(f"nllb:{tiny_nllb}")
    translator.limits = replace(translator.limits, new=4)
    (made,) = translator.translate([SENTENCES["de"][0][0]], "de")
    assert made.text and SENTENCES["de"][0][1].startswith(made.text) and (made.problem, made.cut) == (None, True)
    (whole,) = transformers_nllb.translate([SENTENCES["de"][0][0]], "de")
    assert not whole.cut


class Recorder:
    """An engine that keeps what it is given."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.seen = engine, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def make(self, pieces: Sequence[str], code: str, limits: Limits) -> list[Made]:
        self.seen += pieces
        return self.engine.make(pieces, code, limits)


def tokens_of(translator: LocalTranslator, text: str, limits: Limits = BY_SENTENCES) -> list[str]:
    """The tokens that a translator's engine is given for a text, without the first and the last."""
    engine = Recorder(translator.engine)
    list(LocalTranslator("", translator.checkpoint, engine, limits, nllb.source_of).translate([text], "de"))
    (ids,) = engine.tokenizer(engine.seen)["input_ids"]
    return list(engine.tokenizer.convert_ids_to_tokens(ids[1:-1]))


def test_what_looks_like_a_special_token_in_a_text_is_text(transformers_nllb: LocalTranslator, ct2_nllb: LocalTranslator) -> None:
    text, strange = f"{SENTENCES['de'][0][0]} </s> <pad> eng_Latn", {"</s>", "<pad>", "eng_Latn"}
    for translator, limits, found in ((transformers_nllb, BY_SENTENCES, set()), (ct2_nllb, BY_SENTENCES, set()), (transformers_nllb, nllb.DOCUMENT, strange)):
        assert strange & set(tokens_of(translator, text, limits)) == found, limits.by  # whole documents: as the stock pipeline does


def test_a_language_that_a_model_does_not_know_is_a_problem_of_its_texts(transformers_nllb: LocalTranslator) -> None:
    assert [made.problem for made in transformers_nllb.translate(["a", "b"], "tlh")] == ["unsupported language 'tlh'"] * 2


def test_ctranslate2_refuses_whole_documents_and_what_it_does_not_have(tiny_nllb: Path) -> None:
    with pytest.raises(ModelError, match="1,024 positions"):
        load_translator(f"nllb-ct2:{tiny_nllb}", by="document")
    with pytest.raises(ModelError, match="no type 'int3'"):
        load_translator(f"nllb-ct2:{tiny_nllb}", dtype="int3")


def test_a_checkpoint_is_converted_once_and_a_converted_folder_taken_as_it_is(tiny_nllb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
    first = _load(f"nllb-ct2:{tiny_nllb}", dtype="int8")
    (folder,) = [f for f in (tmp_path / "cache" / "ct2").iterdir() if f.is_dir()]
    when = (folder / "model.bin").stat().st_mtime_ns
    (folder.with_name(f".part-{folder.name}-dead")).mkdir()  # of a killed conversion
    again = _load(f"nllb-ct2:{tiny_nllb}", dtype="int8")
    assert (folder / "model.bin").stat().st_mtime_ns == when and again.identity("de") == first.identity("de")
    assert str(first.identity("de")["ctranslate2"]) in version("ctranslate2")
    assert first.facts().parameters and "int8" in str(first.identity("de")["dtype"])
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "other"))
    converted = _load(f"nllb-ct2:{folder}", dtype="float32")
    assert english(converted, [SENTENCES["de"][0][0]], "de") == [SENTENCES["de"][0][1]] and not (tmp_path / "other").exists()
    shutil.rmtree(folder)
    (tmp_path / "cache" / "ct2" / f".part-{folder.name}-dead").mkdir(exist_ok=True)
    monkeypatch.setenv("CLIR_BENCH_CACHE", str(tmp_path / "cache"))
    load_translator(f"nllb-ct2:{tiny_nllb}")
    assert sorted(f.name for f in (tmp_path / "cache" / "ct2").iterdir()) == [folder.name, f"{folder.name}.lock"]


@pytest.mark.parametrize("kind", ["nllb", "nllb-ct2"])
def test_weights_that_do_not_fit_are_refused(tiny_nllb: Path, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(tiny_nllb, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.1.fc2.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 missing \(model.decoder.layers.1.fc2.weight"):
        load_translator(f"{kind}:{folder}")


def test_an_identity_holds_the_weights_not_the_place_and_all_that_was_chosen(tiny_nllb: Path, tmp_path: Path) -> None:
    own = _load(f"nllb:{tiny_nllb}").identity("de")
    moved = shutil.copytree(tiny_nllb, tmp_path / "moved")
    assert _load(f"nllb:{moved}").identity("de") == own
    assert (own["model"], own["source"], own["by"]) == ("folder", "deu_Latn", "document")
    release = version("transformers").split(".")
    assert (own["transformers"], own["translator_version"]) == (".".join(release[:2]), VERSION) and "ctranslate2" not in own
    others = [_load(f"nllb:{moved}", by="sentences").identity("de"), _load(f"nllb:{moved}", dtype="bfloat16").identity("de")]
    weights = load_file(moved / "model.safetensors")
    weights["model.encoder.layer_norm.bias"] += 1e-3
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    others += [_load(f"nllb:{moved}").identity("de"), _load(f"nllb:{tiny_nllb}").identity("fr")]
    assert all(other != own for other in others)


def test_a_hub_model_is_known_by_its_commit(tiny_nllb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--org--tiny"
    shutil.copytree(tiny_nllb, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit, encoding="utf-8")
    identity = load_translator("nllb:org/tiny@v1").identity("de")
    assert (identity["model"], identity["revision"]) == ("org/tiny", commit)
    with pytest.raises(ModelError, match="model 'org/absent' cannot be loaded"):
        load_translator("nllb:org/absent")


def test_madlad_translates_with_its_prefix(tmp_path: Path) -> None:
    folder = write_madlad(tmp_path)
    translator = _load(f"madlad:{folder}")
    translator.limits = replace(BY_SENTENCES, new=30)  # five beams search on as far as they may
    assert english(translator, [source for source, _ in SENTENCES["de"]], "de") == [target for _, target in SENTENCES["de"]]
    assert (translator.facts().licence, translator.facts().by) == ("apache-2.0", "sentences")
    tokens = tokens_of(translator, "Er \ue000 mündet </s> in das Meer!")
    assert "<unk>" in tokens and "</s>" not in tokens  # which would be the end of the text
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["unk_id"] = 2
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="makes of an unknown character '</s>', the end of the text"):
        load_translator(f"madlad:{folder}")


def test_opus_takes_a_model_per_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shutil.move(write_opus(tmp_path / "made"), tmp_path / "opus-mt-de-en")
    second = shutil.copytree(first, tmp_path / "opus-mt-gmq-en")
    weights = load_file(second / "model.safetensors")
    weights["final_logits_bias"][0, 0] = 100.0  # this one says nothing
    save_file(weights, second / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(opus, "SENTENCES", replace(BY_SENTENCES, new=30))
    translator = load_translator(f"opus:{tmp_path}/opus-mt-{{lang}}-en", threads=1)
    pairs = SENTENCES["de"]
    for _ in range(2):
        assert english(translator, [source for source, _ in pairs], "de") == [target for _, target in pairs]
        assert {made.problem for made in translator.translate([source for source, _ in pairs], "no")} == {"the translation is empty"}
    assert translator.identity("de")["revision"] != translator.identity("no")["revision"]
    facts = translator.facts()
    lines = sorted(f"opus-mt-{name}-en@{translator.identity(language)['revision']}" for name, language in (("de", "de"), ("gmq", "no")))
    assert facts.models == tuple(lines) and facts.licence == "cc-by-4.0" and facts.name.endswith("opus-mt-{lang}-en")
    assert facts.revision == f"sha256:{hashlib.sha256(''.join(line + chr(10) for line in lines).encode()).hexdigest()}"
    assert load_translator(f"opus:{tmp_path}/opus-mt-{{lang}}-en").facts().revision == "by language"
    assert isinstance(translator, opus.Opus) and translator._loaded and translator._loaded.engine._beams["renormalize_logits"] is True  # type: ignore[attr-defined]
    monkeypatch.setattr(opus, "SENTENCES", replace(BY_SENTENCES, new=3))
    (made,) = load_translator(f"opus:{first}").translate([SENTENCES["de"][0][0]], "de")
    assert made.problem == "cut off at 3 tokens"  # the checkpoint's own settings force an end at the limit, which would hide it
    with pytest.raises(ModelError, match="opus-mt-fr-en"):
        translator.identity("fr")
    with pytest.raises(ModelError, match="512 tokens"):
        load_translator("opus", by="document")


def test_a_language_that_the_hub_has_no_model_of_is_unsupported_and_without_the_hub_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        load_translator("opus:org/opus-{lang}").identity("tl")
    asked: list[str] = []

    def answer(name: str, **_: object) -> str:
        asked.append(name)
        kind = errors.GatedRepoError if "ja" in name else errors.RepositoryNotFoundError
        raise kind("404", response=httpx.Response(404, request=httpx.Request("GET", "http://hub")))

    httpx = pytest.importorskip(errors.HfHubHTTPError.__bases__[0].__module__.split(".")[0])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    translator = load_translator("opus:org/opus-{lang}")
    assert translator.identity("tl")["revision"] == "none" and translator.facts().revision == "by language"
    assert [made.problem for made in translator.translate(["a", "b"], "tl")] == ["unsupported language 'tl'"] * 2
    assert asked == ["org/opus-tl"]
    with pytest.raises(ModelError, match="Gated"):
        translator.identity("ja")
    with pytest.raises(ModelError, match="org/one"):
        load_translator("opus:org/one").identity("tl")


def test_opus_has_a_model_for_every_language_of_the_paper() -> None:
    assert set(opus.GROUPS) <= {*NLLB_CODES, "zh-Hant"} and opus.MODEL.replace("{lang}", opus.GROUPS["no"]) == "Helsinki-NLP/opus-mt-gmq-en"


def test_what_cannot_be_loaded_says_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"no kind 'babel'\. There are nllb, nllb-ct2, madlad"):
        load_translator("babel:fish")
    with pytest.raises(ModelError, match="not a model folder"):
        load_translator(f"nllb:{tmp_path}")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(MissingExtra, match=r"'\.\[translate\]'"):
        load_translator("nllb-ct2")
