"""Recordings: what a file is, its sound, its pictures."""
