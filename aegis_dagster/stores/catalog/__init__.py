"""The catalog: every document and its state at each stage."""
