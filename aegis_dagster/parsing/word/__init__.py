"""Word files, settled before docling reads them."""
