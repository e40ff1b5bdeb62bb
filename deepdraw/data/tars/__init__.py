"""Tars of images, local or remote."""
