"""Everything that imports dagster: assets, checks, jobs, resources, the mapping of errors."""
