"""Pictures of documents: which are looked at, and the describer that reads the text in them."""
