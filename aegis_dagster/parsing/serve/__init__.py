"""Parsing by a server of docling-serve."""
