"""One function a stage, and the runner they share. They know neither Dagster, LangGraph nor any adapter."""
