"""Adapters that find entities and relations in a passage: by statistics, or by a language model."""
