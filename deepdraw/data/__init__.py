"""From strokes on disk to batches on the device."""
