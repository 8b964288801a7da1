"""What is shown of standings: tables and charts as values, the same for the pages, the API and the static site. No torch, no Streamlit."""
