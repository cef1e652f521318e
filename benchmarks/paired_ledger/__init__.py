"""What the ledgers of techniques and of teaching methods share: jobs side by side, and paired scores."""
