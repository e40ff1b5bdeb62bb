"""Layers that differ from torch's in speed or across ranks."""
