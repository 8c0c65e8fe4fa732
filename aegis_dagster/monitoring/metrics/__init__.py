"""The Prometheus exporter: definitions of metrics, their sources, and the server."""
