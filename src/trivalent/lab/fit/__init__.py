"""Training: the loop, many networks at once, losses."""
