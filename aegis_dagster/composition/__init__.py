"""Settings become adapters, each built when first used: the only place that names them all."""
