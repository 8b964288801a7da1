"""The one table of languages, and what may stand for a language anywhere in clir-bench.

A language is a BCP 47 tag in its shortest form: ISO 639-1 where one exists (``zh``, ``no``, ``tl``), else ISO 639-3, with a script only
where it distinguishes (``zh-Hant``). The ``ara-Arab`` form of mteb is made here and used in ``integrations/mteb.py`` alone.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import NamedTuple

import langcodes
import langcodes.tag_parser


class Language(NamedTuple):
    """A row of the table: tag, English name, ISO 15924 script, family, ISO 639-3 code, NLLB-200 code."""

    code: str
    name: str
    script: str
    family: str
    iso639_3: str
    nllb: str


_ROWS = """
af Afrikaans Latn Indo-European afr afr_Latn
am Amharic Ethi Afro-Asiatic amh amh_Ethi
ar Arabic Arab Afro-Asiatic ara arb_Arab
ary Moroccan_Arabic Arab Afro-Asiatic ary ary_Arab
arz Egyptian_Arabic Arab Afro-Asiatic arz arz_Arab
ca Catalan Latn Indo-European cat cat_Latn
cs Czech Latn Indo-European ces ces_Latn
de German Latn Indo-European deu deu_Latn
el Greek Grek Indo-European ell ell_Grek
en English Latn Indo-European eng eng_Latn
es Spanish Latn Indo-European spa spa_Latn
fa Persian Arab Indo-European fas pes_Arab
fi Finnish Latn Uralic fin fin_Latn
fr French Latn Indo-European fra fra_Latn
ha Hausa Latn Afro-Asiatic hau hau_Latn
hi Hindi Deva Indo-European hin hin_Deva
id Indonesian Latn Austronesian ind ind_Latn
ig Igbo Latn Niger-Congo ibo ibo_Latn
it Italian Latn Indo-European ita ita_Latn
ja Japanese Jpan Japonic jpn jpn_Jpan
ko Korean Hang Koreanic kor kor_Hang
nl Dutch Latn Indo-European nld nld_Latn
nn Nynorsk Latn Indo-European nno nno_Latn
no Norwegian Latn Indo-European nor nob_Latn
nso Northern_Sotho Latn Niger-Congo nso nso_Latn
pl Polish Latn Indo-European pol pol_Latn
pt Portuguese Latn Indo-European por por_Latn
ro Romanian Latn Indo-European ron ron_Latn
ru Russian Cyrl Indo-European rus rus_Cyrl
sn Shona Latn Niger-Congo sna sna_Latn
so Somali Latn Afro-Asiatic som som_Latn
sv Swedish Latn Indo-European swe swe_Latn
sw Swahili Latn Niger-Congo swa swh_Latn
th Thai Thai Kra-Dai tha tha_Thai
ti Tigrinya Ethi Afro-Asiatic tir tir_Ethi
tl Tagalog Latn Austronesian tgl tgl_Latn
tr Turkish Latn Turkic tur tur_Latn
tw Twi Latn Niger-Congo twi twi_Latn
uk Ukrainian Cyrl Indo-European ukr ukr_Cyrl
vi Vietnamese Latn Austroasiatic vie vie_Latn
wo Wolof Latn Niger-Congo wol wol_Latn
yo Yoruba Latn Niger-Congo yor yor_Latn
zh Chinese Hans Sino-Tibetan zho zho_Hans
zu Zulu Latn Niger-Congo zul zul_Latn
"""

TABLE: dict[str, Language] = {
    row.split()[0]: Language(*(part.replace("_", " ") if i == 1 else part for i, part in enumerate(row.split()))) for row in _ROWS.strip().splitlines()
}


@cache
def problem_with(tag: str) -> str | None:
    """What is wrong with a language tag, and the cure; None when it is a BCP 47 tag in its shortest form."""
    if tag in TABLE:
        return None
    try:
        shortest = _shortest(langcodes.standardize_tag(tag)) if langcodes.tag_is_valid(tag) else None
    except langcodes.tag_parser.LanguageTagError:
        shortest = None
    if shortest == tag:
        return None
    if shortest is None:
        near = difflib.get_close_matches(tag.lower(), TABLE, n=1, cutoff=0.4)
        cure = {"cn": "zh", "jp": "ja", "kr": "ko", "gr": "el", "cz": "cs", "ua": "uk", "iw": "he"}.get(tag.lower()) or (near[0] if near else "")
        return f"unknown code {tag!r}." + (f" Did you mean {cure!r}?" if cure else " A language is a BCP 47 tag such as 'en' or 'zh-Hant'.")
    return f"{tag!r} is not the shortest form of the tag. Write {shortest!r}."


def name(tag: str) -> str:
    """The English name, or the tag where the table has none."""
    return TABLE[tag].name if tag in TABLE else tag


def script(tag: str) -> str:
    """The ISO 15924 script it is written in: the table's, else what langcodes finds likely."""
    return TABLE[tag].script if tag in TABLE else langcodes.Language.get(tag).maximize().script or "Zyyy"


def family(tag: str) -> str:
    """The language family, ``other`` for a language that the table does not have."""
    return TABLE[tag].family if tag in TABLE else "other"


def from_iso639_3(code: str) -> str:
    """Our tag for an ISO 639-3 code of the table; the code itself where it has none."""
    return next((row.code for row in TABLE.values() if row.iso639_3 == code), code)


def mteb_code(tag: str) -> str:
    """ISO 639-3 and script as mteb writes them: ``ar`` gives ``ara-Arab``, ``zh-Hant`` gives ``zho-Hant``."""
    if tag in TABLE:
        return f"{TABLE[tag].iso639_3}-{TABLE[tag].script}"
    language = langcodes.Language.get(tag).maximize()
    return f"{language.to_alpha3()}-{language.script}"


@cache
def from_mteb(code: str) -> str:
    """Our tag for mteb's ``ara-Arab``: macro-language, shortest form, the script only where it is not the usual one."""
    alpha3, _, script = code.partition("-")
    known = next((row.code for row in TABLE.values() if (row.iso639_3, row.script) == (alpha3, script)), None)
    return known or _shortest(langcodes.standardize_tag(code, macro=True))


def _shortest(tag: str) -> str:
    """The tag without a script that its language is usually written in."""
    language = langcodes.Language.get(tag, normalize=False)
    bare = langcodes.Language.make(language=language.language, territory=language.territory)
    usual = TABLE[bare.to_tag()].script if bare.to_tag() in TABLE else bare.maximize().script
    return bare.to_tag() if language.script in (usual, None) else tag
