"""Workbooks, as a person sees them."""
