"""Values and pure rules, without I/O, clock or SDK."""
