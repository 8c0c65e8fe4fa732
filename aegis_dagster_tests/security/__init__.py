"""Attacks: what a document, a website or another user of the machine may try."""
