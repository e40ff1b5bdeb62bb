"""From a batch of pixels to logits."""
