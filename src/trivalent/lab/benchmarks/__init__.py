"""Benchmarks: tables that anyone can rerun by `trivalent benchmark NAME`."""
