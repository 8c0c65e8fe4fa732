"""What Prometheus asks for: metrics of what is stored, made when somebody asks."""
