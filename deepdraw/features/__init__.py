"""A frozen backbone at the price of one pass: features computed once, kept on disk, read from there."""
