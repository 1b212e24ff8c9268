"""Holds only the script that Streamlit runs: beside a folder `pages` it would take that for its own."""
