"""From raw medical records to a tuned multi-label submission and one small deployable model."""
