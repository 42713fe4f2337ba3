"""Annotation files: read from outside with suspicion, checked record by record, written for training."""
