"""aegis_dagster: folders of documents, kept searchable and askable by Dagster."""

__version__ = "0.1.0"
