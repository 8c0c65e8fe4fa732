"""The gateway: the only place in the project that calls a model."""
