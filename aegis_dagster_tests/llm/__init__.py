"""Tests of the gateway and its parts."""
