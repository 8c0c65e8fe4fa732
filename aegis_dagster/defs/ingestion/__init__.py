"""The five ingestion assets: their checks, options, metadata and previews."""
