"""Files of OpenDocument."""
