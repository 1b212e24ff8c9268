"""The app in the browser: Streamlit pages over the library and the store.

`script.main` is what Streamlit runs, `pages` what it shows, `views` the pieces that pages are
made of, `components` the few things that need a script of ours in the browser, `texts` every word
in English and Chinese.
"""
