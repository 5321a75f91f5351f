"""Certificates proved again from the stored graph, with numpy alone."""
