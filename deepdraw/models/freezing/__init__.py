"""What of a backbone trains and what does not."""
