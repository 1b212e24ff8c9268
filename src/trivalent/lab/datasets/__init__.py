"""Readers of the data sets that the lab trains and tests on."""
