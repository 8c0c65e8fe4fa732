"""Worker processes that can be killed: the pool, and what runs in the child."""
