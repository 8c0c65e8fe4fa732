"""Presentations, settled before docling reads them."""
