"""From trained weights to numbers, tables and pictures."""
