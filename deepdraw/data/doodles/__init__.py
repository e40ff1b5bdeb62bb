"""Drawings made by program: a data set that needs no download."""
