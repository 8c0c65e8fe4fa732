"""Builds adapters from the settings, each when first used. No other package names all adapters."""
