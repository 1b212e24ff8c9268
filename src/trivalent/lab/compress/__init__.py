"""Smaller and faster bundles: distillation, structured pruning, int8, and what they cost."""
