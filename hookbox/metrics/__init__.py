"""What Prometheus is told of a server. Nothing is added up before somebody asks."""
