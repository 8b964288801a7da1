"""The table of data sets that retrieval models are trained on: which of the texts that our tasks are made of each holds, nothing included.

Names are small letters and digits without what stands between them: ``MS-MARCO`` is ``msmarco``. A data set that is not here is not known: a model that
was trained on it is undisclosed until somebody adds it with what it holds. Mixtures are taken to hold whatever their papers and cards list.
"""

from __future__ import annotations

_MSMARCO, _MMARCO, _WIKIPEDIA, _NEWS = "msmarco", "mmarco", "wikipedia", "commoncrawlnews"

_FROM_MSMARCO = """
    deeplearningtrack dlhard mmarco nanomsmarco orcas trec2019deeplearning trec2019dl trec2020deeplearning trec2020dl trec2021dl trec2022dl trec2023dl
    trecdeeplearning trecdl
"""
_FROM_WIKIPEDIA = """
    africlirmatrix am2ico climatefever clirmatrix cmrc2018 dbpedia drcd fever fquad germanquad hagrid hotpotqa kilt largescaleclir miracl mkqa mldr mlqa
    mrtidy mrtydi multilongdoc nanoclimatefever nanodbpedia nanofever nanohotpotqa nanonq naturalquestions nomiracl nq nqopen paq parsquad persianqa pquad
    simplewiki squad swimir triviaqa tydi tydiqa wiki40b wikihop wikimatrix wikiomnia wikipassageqa wikiss xorqa xortydi xquad
"""
_FROM_NEITHER = """
    advertisegen aeslc afqmc agnews allnli amazoncounterfactual amazonpolarity amazonqa amazonreview anli appsretrieval arguana arxiv askubuntu atec
    bactrian banking77 bioasq biorxiv bookcorpus c4 cc100 cmedqa cmnli cnndailymail cnndm codefeedback codesearchnet codetransocean coliee commoncrawl
    contractnli cord19 cornstack cosqa cqadupstack csts dureader duretrieval eli5 emotionclassification esci europarl fiqa flickr30k flores followir
    gigaword gooaq huatuo imdb insuranceqa jw300 lawzhidao lcqmc lcsts lecard lotte madlad400 massiveintent massivescenario mc4 meddialog medmcqa mednli
    medqa medquad medrxiv mnli mqa mtopdomain mtopintent multicpr multinews multinli nanoarguana nanofiqa nanonfcorpus nanoquora nanoscidocs nanoscifact
    nanotouche nfcorpus nli nllb oasst ocnli openorca opensubtitles opus100 opusbooks oscar paracrawl paws pawsx pubmed qbqtc qnli qqp quora reddit refgpt
    robust04 rte s2orc scidocs scifact scitldr searchqa semeval sentencecompression senwich sib200 sickr simclue snli specter stackexchange stackoverflow
    sts stsb stsbenchmark t2ranking t2reranking t2retrieval tatoeba ted2020 thucnews tnews touche toxicconversations treccovid trecnews tweetsentiment
    twentynewsgroups unitednationsparallel unpc webfaq webglm webgpt webmedqa wikianswers wiktionary winogrande wmt wordnets xlsum xnli xsum
    yahooanswers yelp zeshel
"""
_MIXTURES = {
    "beir": (_MSMARCO, _WIKIPEDIA),
    "bge": (_MSMARCO, _MMARCO, _WIKIPEDIA, _NEWS),
    "ccpairs": (_WIKIPEDIA, _NEWS),
    "e5": (_MSMARCO, _WIKIPEDIA, _NEWS),
    "embeddingtrainingdata": (_MSMARCO, _WIKIPEDIA),
    "gte": (_MSMARCO, _MMARCO, _WIKIPEDIA),
    "medi": (_MSMARCO, _WIKIPEDIA),
    "medi2bge": (_MSMARCO, _MMARCO, _WIKIPEDIA, _NEWS),
    "mteb": (_MSMARCO, _MMARCO, _WIKIPEDIA),
    "nanobeir": (_MSMARCO, _WIKIPEDIA),
    "nomicembed": (_MSMARCO, _WIKIPEDIA),
    "pile": (_WIKIPEDIA,),
    "redpajama": (_WIKIPEDIA,),
    "rlhn": (_MSMARCO, _WIKIPEDIA),
}
"""BEIR; the pairs and triples of E5, BGE, GTE, Instructor (MEDI), Nomic and sentence-transformers; MTEB's train splits; corpora with Wikipedia in them."""

HOLDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((_MSMARCO, _WIKIPEDIA, _NEWS, "clirbenchsample", *_FROM_NEITHER.split()), ()),
    **dict.fromkeys(_FROM_MSMARCO.split(), (_MSMARCO,)),
    **dict.fromkeys(_FROM_WIKIPEDIA.split(), (_WIKIPEDIA,)),
    **dict.fromkeys(("hc4", "neuclir"), (_NEWS,)),
    "xlwic": ("wordnets", "wiktionary"),
    **_MIXTURES,
}
"""What each data set holds of others."""
SAME = {"wikiclir": "largescaleclir", "largescale": "largescaleclir", "multi8": "clirmatrix", "bi139": "clirmatrix", "ccnews": _NEWS}
"""Other names of data sets that tasks are made of."""
EVALUATED = {(_MSMARCO, "dev"): _MMARCO, (_MMARCO, "dev"): _MMARCO, ("beir", "test"): _MMARCO, ("mteb", "test"): _MMARCO}
"""Splits that are evaluated though they are not called test: mMARCO's queries and documents are those of MS MARCO's dev.small, English among them, on
which BEIR and MTEB evaluate MS MARCO, too."""
