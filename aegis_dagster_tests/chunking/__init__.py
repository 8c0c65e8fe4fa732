"""Tests of chunking: real documents of docling_core, the real tokenizer, nothing replaced."""
