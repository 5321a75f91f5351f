"""Graphs of modules, for certifiers."""
