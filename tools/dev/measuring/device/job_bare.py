# A GET with module tls alone and one CA, preloaded. See run_job.py.


def run(host, port, ca, stores, phase):
    import socket
    import tls

    phase("imported")
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    with open(ca, "rb") as file:
        context.load_verify_locations(file.read())
    phase("ready")
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    phase("dialled")
    stream = context.wrap_socket(sock, server_hostname=host)
    phase("connected")
    stream.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
    buffer = bytearray(512)
    got = 0
    n = len(buffer)
    while n == len(buffer):
        n = stream.readinto(buffer)
        got += n
    phase("answered")
    stream.close()
    return got > 100
