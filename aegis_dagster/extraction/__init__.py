"""Finding entities and relations in a passage without a language model."""
