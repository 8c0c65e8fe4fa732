"""What office files have in common, and the old ones that LibreOffice converts."""
