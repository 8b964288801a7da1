"""The leaderboard: choose submissions, see tables. Run: ``streamlit run leaderboard/app.py -- submissions``."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import streamlit as st

from clir_bench.errors import SubmissionError
from clir_bench.standings import matrix_frame, overview_frame, read_all
from clir_bench.views import coverage


def _one_decimal(frame: pd.DataFrame) -> dict[str, object]:
    return {name: st.column_config.NumberColumn(format="%.1f") for name in frame.columns if frame[name].dtype == float}


st.set_page_config(page_title="clir-bench", layout="wide")
st.title("clir-bench")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "submissions")
submissions, problems = read_all(folder)
for problem in problems:
    st.error(problem)
if not submissions:
    st.info(f"No submissions in {folder}. Make one: clir-bench evaluate --model bm25 --task sample")
    st.stop()

# the oracle track is a board of its own: relevant documents were put among the candidates there
boards = sorted({(s.task.name, s.task.version, s.task.track == "oracle") for s in submissions})
board = st.selectbox("Task", boards, format_func=lambda b: f"{b[0]} v{b[1]}{', oracle track' if b[2] else ''}")
chosen = [s for s in submissions if (s.task.name, s.task.version, s.task.track == "oracle") == board]
st.caption(f"{chosen[0].task.pairs} pairs; macro means over pairs, percent. A mean over an incomplete set is marked and not ranked.")
overview = overview_frame(chosen)
st.dataframe(overview, hide_index=True, column_config=_one_decimal(overview))
picked = chosen[st.selectbox("System", range(len(chosen)), format_func=lambda i: f"{chosen[i].system.name} ({chosen[i].system.variant})")]
measure = st.selectbox("Measure", list(picked.pairs[0].measures))
try:
    matrix = matrix_frame(picked, measure)
    st.caption(f"Query language down, document language across; percent. {coverage(picked)}.")
    st.dataframe(matrix, column_config=_one_decimal(matrix))
except SubmissionError as error:
    st.error(str(error))
st.code(picked.system.signature, language=None)
