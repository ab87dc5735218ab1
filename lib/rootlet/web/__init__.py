"""The full HTTP client: `rootlet.http.Client` and `rootlet.http.AsyncClient`. `http.get` imports none of it."""
