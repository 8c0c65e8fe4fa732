"""Everything that imports dagster: assets, checks, jobs, resources and the mapping of errors."""
