"""Text: normalising, sections, words."""
