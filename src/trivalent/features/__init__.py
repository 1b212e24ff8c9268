"""Numbers from words, voice and face: extractors, each of which returns a `FeatureTable`."""
