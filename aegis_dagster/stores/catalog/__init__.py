"""The catalog: every document and where it stands at each stage."""
