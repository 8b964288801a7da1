"""What leaves the house: the JSON API's answers and the static site. No torch, no Streamlit."""
