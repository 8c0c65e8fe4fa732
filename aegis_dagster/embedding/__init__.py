"""Adapters that turn texts into vectors: MiniLM through onnxruntime, or a provider's model."""
