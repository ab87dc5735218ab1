"""Ways to write firmware to a board: one module for each, behind the interface in `base`."""
