"""Adapters that turn texts into vectors: MiniLM with onnxruntime, or a provider's model."""
