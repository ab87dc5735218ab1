"""TLS on a connection that began in plain text: STARTTLS of SMTP, IMAP and their like, SSLRequest of PostgreSQL."""

from micropython import const

_POLL_READ = const(1)


def upgrade(sock, server_hostname, context, timeout_ms=10_000):
    """TLS on `sock`, whose server has just agreed to it and says nothing more before the handshake: a Connection.

    `sock` belongs to the connection from the call on, whatever comes of it: it is closed when the upgrade fails and
    with the connection, and nobody else may read, write or close it. `timeout_ms` limits the handshake, and later each
    single wait. For asyncio see `rootlet.aio.upgrade`.

    What the server sent before is refused: it came without protection, and whoever is on the line may have put it there
    so that it is taken for the answer to something that is sent later, with protection (CVE-2011-0411 and many more).
    This sees what waits in the network stack; do not read on behind the server's agreement into a buffer of your own.

    Raises what `Context.wrap_socket` raises. With firmware that speaks TLS 1.3 the first attempt may be an
    UnknownIssuerError that a second one, on a connection of its own, does not meet.
    """
    from .settings import deadline

    try:
        deadline_ms = deadline(timeout_ms)
        check_silence(sock, server_hostname)
        if hasattr(sock, "setsockopt"):
            from .dial import send_at_once

            send_at_once(sock)
        handshake = context.handshake(sock, server_hostname, deadline_ms)
    except BaseException:
        sock.close()
        raise
    connection = handshake.connect()
    try:
        connection.settimeout(timeout_ms / 1000)
        return connection
    except BaseException:
        connection.close()
        raise


def check_silence(sock, host):
    """Raises HandshakeError if there is anything to read."""
    from select import poll

    poller = poll()
    poller.register(sock, _POLL_READ)
    if not poller.poll(0):
        return
    from .errors import HandshakeError

    try:
        sock.setblocking(False)
        came = sock.read(1)
    except OSError:
        came = b""
    if came:
        raise HandshakeError(
            "%s sent plain text where TLS should begin" % host,
            "Do not use the connection: somebody may have injected it",
        )
    raise HandshakeError("%s closed the connection before TLS began" % host)
