"""Adapters that find entities and relations in a passage: with statistics or with a language model."""
