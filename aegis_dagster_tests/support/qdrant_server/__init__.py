"""A stand-in for a Qdrant server: its REST interface over Qdrant's engine in a process of its own, with state on disk.

It speaks what the vector store needs, with the answers and errors that Qdrant 1.20 writes, as its source shows them. It
builds no HNSW index and compresses nothing: of these it keeps only the settings.
"""
