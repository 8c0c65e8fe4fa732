"""aegis_dagster: folders of documents, kept searchable and askable by Dagster."""

from aegis_dagster.environment import keep_libraries_quiet

__version__ = "0.1.0"

keep_libraries_quiet()  # here, because every process of ours imports the package before any of them
