"""Firmware files: their content, where they come from, and the hashes they must keep."""
