"""Plain text in any encoding, tables of values, captions."""
