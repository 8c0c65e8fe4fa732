"""Predicts what a run would do, which model calls it would make, and their cost."""
