"""The leaderboard's entry: its pages and what stands above them. Run: ``clir-bench leaderboard serve``."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

if (here := str(Path(__file__).parent)) not in sys.path:  # a server that is told only the file does not do it
    sys.path.insert(0, here)

import shell

st.logo(Path(__file__).with_name("logo.svg"), size="large", link=None)
page = st.navigation(shell.pages(), position="top")
st.set_page_config(page_title=f"{page.title} · clir-bench", layout="wide", initial_sidebar_state="collapsed")
shell.open_page(page)
page.run()
shell.foot()
