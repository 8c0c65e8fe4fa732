"""Tests of the evidence tables and the graph aggregated from them."""
