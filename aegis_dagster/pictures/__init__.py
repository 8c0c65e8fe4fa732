"""Pictures of documents: which are described, and the describers: OCR and a vision model."""
