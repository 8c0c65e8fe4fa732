"""PDFs and pictures: layout by rules, forms, tables, running lines."""
