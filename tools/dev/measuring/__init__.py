"""What `make bench` and `make memory` share: compiled device code, stores, servers, and MicroPython programs."""
