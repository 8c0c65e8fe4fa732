"""Pages, Markdown and books."""
