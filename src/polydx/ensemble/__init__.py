"""Fusion, stacking, thresholds, neighbours."""
