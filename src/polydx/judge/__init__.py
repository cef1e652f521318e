"""Folds, metrics, honest scores, leak and drift checks."""
