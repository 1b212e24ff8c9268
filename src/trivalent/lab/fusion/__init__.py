"""Fusion of modalities: networks for many seeds at once, and the weights of the pool."""
