"""AsciiDoc, LaTeX, XML vocabularies and docling's JSON."""
