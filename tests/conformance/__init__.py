"""x509-limbo's certificate chains, shown to rootlet."""
