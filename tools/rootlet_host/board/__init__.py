"""Boards: real ones on USB, and the virtual one."""
