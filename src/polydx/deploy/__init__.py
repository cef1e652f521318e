"""Prediction with a trained model outside the pipeline."""
