# A datagram there and back over DTLS. See run_job.py.


def run(host, port, ca, stores, phase):
    import rootlet
    from rootlet import dtls

    rootlet.Context
    phase("imported")
    context = rootlet.Context(stores=stores)
    phase("ready")
    with dtls.connect(host, port, context, address="127.0.0.1", timeout_ms=60_000) as connection:
        phase("connected")
        connection.send(b"hello\n")
        answer = connection.recv(timeout_ms=3000)
        phase("answered")
    return answer == b"hello\n"
