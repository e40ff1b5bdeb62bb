"""From logits to trained weights."""
