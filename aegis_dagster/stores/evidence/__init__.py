"""The evidence: what each chunk says about entities and their relations."""
