"""Learning without labels: pre-training and pseudo-labels."""
