"""Networks: the text encoder with its head, and the fusion networks of the research wing."""
