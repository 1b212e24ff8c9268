"""Classification problems: guarded parts of a data set, cleaned and resampled."""
