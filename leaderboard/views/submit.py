"""Try a submission before it is sent: the checks of ``clir-bench submit``, and where it would land."""

from __future__ import annotations

import hashlib
from html import escape
from pathlib import Path

import shell
import streamlit as st

from clir_bench import submit
from clir_bench.errors import ClirBenchError
from clir_bench.exhibits import preview, profile
from clir_bench.exhibits.landing import landing_words
from clir_bench.submission import parse_submission

_STYLE = """
.cb-refused{border:1px solid color-mix(in srgb,#c2620e 60%,transparent);border-left:4px solid #c2620e;border-radius:.35rem;padding:.6rem .9rem;max-width:60rem}
.cb-refused pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem;margin:0;max-height:22rem;overflow:auto}
"""


def tried(content: bytes) -> submit.Entry | str:
    """What the content would be on the board, or all that is wrong with it; computed once for a file, since every click runs the page again."""
    key = (hashlib.sha256(content).hexdigest(), str(index.path))
    kept = st.session_state.get("tried")
    if kept is None or kept[0] != key:
        try:
            found: submit.Entry | str = submit.enter(parse_submission(content, "the file"), content, index.folder, index, "the file")
        except ClirBenchError as error:
            found = str(error).replace(str(index.folder), "submissions")
        st.session_state["tried"] = kept = (key, found)
    return kept[1]


def show_refusal(problems: str) -> None:
    """All problems, as plain text."""
    st.html(f'<div class="cb-refused" role="alert"><pre tabindex="0">{escape(problems)}</pre></div>')


def show_entry(entry: submit.Entry) -> None:
    """What it is, how it does, where it would land, and what to do next."""
    s, at = entry.submission, entry.landing
    told = f"It holds, and would stand on {s.task.name} v{s.task.version}"
    st.header((f"{told}, marked as a copy" if entry.copied else told).replace("_", r"\_"), anchor=False)
    if entry.copied:
        show_refusal("\n".join(found.text for found in entry.copied))
    st.html(profile.chain_html(s.system.stages))
    place = f"rank {at.rank} of {at.of:,}" if at.rank else f"no rank: {at.why}"
    facts = [
        ("System", f"{s.system.name}/{s.system.variant}"), ("Its place", f"submissions/{entry.path}"),
        *([("Replaces", entry.correction)] if entry.correction else []),
        ("Trust", f"{entry.assessment.trust}: {'; '.join(entry.assessment.reasons)}"),
        ("Trained on the data", f"{entry.contamination.state.replace('_', ' ')}: {entry.contamination.reason}"),
        ("Landing", "\n".join([f"{at.measure} {100 * at.mean:.1f} %, {place}", *landing_words(at)])),
        *((side, f"{100 * other.mean:.1f} %, {other.path}") for side, other in (("Next above", at.above), ("Next below", at.below)) if other),
        *((found.kind.title(), found.text) for found in entry.likenesses if found not in entry.copied),
    ]  # fmt: skip
    st.html(profile.facts_html(facts))
    left, right = st.columns([1, 2], gap="large")
    with left:
        shell.show_table(preview.measures_table(s), "measures", small=True)
    with right:
        shell.show_table(preview.pairs_map(s, at.measure), "pairs", small=True)
    if entry.copied:
        return
    st.header("Send it", anchor=False)
    shell.say("In a checkout of the repository, with the file where it was written:")
    *commands, opened, after = submit.pull_request_steps(entry, Path("submissions"))
    shell.code("\n".join(["clir-bench submit FILE", *commands]))
    shell.say(f"Then {opened}.", after)


shell.head("Submit", "Drop a submission: it is checked here as CI checks it, and you see where it would land before anybody else sees it.")
index = shell.index()
st.html(f"<style>{_STYLE}</style>")
upload = st.file_uploader("A submission, as clir-bench evaluate writes it (JSON, at most 4 MB; a larger one is not taken)", type="json", key="file")
if upload is None:
    shell.say(
        "The file is read in memory, and forgotten when you leave: nothing is kept or sent anywhere.",
        "clir-bench submit does the same on your machine. These two commands make a file and try it:",
    )
    shell.code(
        "clir-bench evaluate --model bm25 --k1 1.2 --task sample --output results\nclir-bench submit results/clir-bench__bm25/multilingual-k1_1.2/sample-v1.json --dry-run"
    )
    shell.say(
        "Checked are its form, every number against its gold ranks (one byte a query), its task and collection, its place, and whether it copies another.",
        "Every problem is told at once.",
    )
else:
    with st.spinner("Computing every number again"):
        found = tried(upload.getvalue())
    if isinstance(found, str):
        show_refusal(found)
    else:
        show_entry(found)
