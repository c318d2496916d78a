"""What a training run may be told: typed models, read from YAML, overridden from the command line, checked before any
work."""
