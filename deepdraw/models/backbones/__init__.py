"""Image encoders: inputs to features."""
