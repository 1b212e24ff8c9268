"""How results are told: words, terminal, pages, tables."""
