"""The vector store: dense and sparse vectors of every chunk in Qdrant."""
