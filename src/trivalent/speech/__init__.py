"""Who says what when: voice activity, recognition, transcripts, utterances."""
