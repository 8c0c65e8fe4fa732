"""One function per stage, and the runner they share. They import neither Dagster, LangGraph nor any adapter."""
