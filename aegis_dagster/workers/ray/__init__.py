"""Workers on the nodes of a Ray cluster: a runner beside the pool, and its seats. Only with the extra `ray`."""
