"""Stands in for the platform's own package."""
