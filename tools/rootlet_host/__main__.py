"""`python -m rootlet_host` is `rootlet`."""

from .cli import main

main()
