"""Tests of the extraction without a language model."""
