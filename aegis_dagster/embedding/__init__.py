"""Adapters that turn texts into vectors: MiniLM on a CPU or a card, or a provider's model."""
