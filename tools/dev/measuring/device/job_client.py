# A GET, and 5 MB to the file DOWNLOAD over the same connection, with rootlet.http.Client. See run_job.py.

from os import getenv

_SIZE = 5 * 1024 * 1024


def run(host, port, ca, stores, phase):
    import rootlet
    from rootlet.http import Client

    rootlet.Context
    phase("imported")
    context = rootlet.Context(stores=stores)
    client = Client(context, timeout_ms=120_000, idle_ms=60_000, address="127.0.0.1")
    phase("ready")
    url = "https://%s:%d/" % (host, port)
    with client.get(url + "100") as response:
        phase("connected")
        got = len(response.read())
    size = client.download(url + str(_SIZE), getenv("DOWNLOAD"))
    phase("answered")
    client.close()
    return got == 100 and size == _SIZE
