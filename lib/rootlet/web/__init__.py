"""The full HTTP client: `rootlet.http.Client` and `rootlet.http.AsyncClient`. Nothing here is imported by `http.get`."""
