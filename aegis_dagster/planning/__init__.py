"""What a run would do, and what it would ask of models and cost."""
