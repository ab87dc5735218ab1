# The same GET in an asyncio task, beside another task. See run_job.py.


def run(host, port, ca, stores, phase):
    import asyncio

    import rootlet

    rootlet.Context, rootlet.open_connection
    phase("imported")
    context = rootlet.Context(stores=stores)
    phase("ready")

    async def beat():
        while True:
            await asyncio.sleep_ms(5)

    async def get():
        other = asyncio.create_task(beat())
        reader, writer = await rootlet.open_connection(host, port, context, address="127.0.0.1", timeout_ms=60_000)
        phase("connected")
        writer.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
        await writer.drain()
        buffer = bytearray(512)
        got = 0
        while True:
            n = await reader.readinto(buffer)
            if not n:
                break
            got += n
        phase("answered")
        await writer.wait_closed()
        other.cancel()
        return got

    return asyncio.run(get()) > 100
