"""What each expert says about an utterance, how far it can be trusted, and the verdict that follows."""
