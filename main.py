"""The application: brings the network up, runs a verified HTTPS job on a schedule, and says in words how it went.

The same file runs on a board (after boot.py) and under the Unix port. It is configured by rootlet.json; what to do with
the server's answer is `handle`: make it yours.
"""

import gc
import sys
from time import sleep_ms, ticks_diff, ticks_ms

from micropython import const

import rootlet
from rootlet import report

_SLICE_MS = const(1000)  # longest time between two feedings of the watchdog while waiting
_FIRST_RETRY_S = const(5)
_LAST_RETRY_S = const(600)
_CHUNK = const(512)
_DAY_S = const(86_400)
_CLOCK_FILE = "clock"  # the last time that was known to be good, for the next start
_SOON_S = const(60)  # the longest first wait of rootlet.pacing


class Watchdog:
    """The board's hardware watchdog, or none. `timeout_ms` 0: none."""

    def __init__(self, timeout_ms):
        self._wdt = None
        if timeout_ms:
            import machine

            if hasattr(machine, "WDT"):
                self._wdt = machine.WDT(timeout=timeout_ms)

    @property
    def running(self):
        return self._wdt is not None

    def feed(self):
        if self._wdt is not None:
            self._wdt.feed()

    def idle(self, ms):
        """Sleeps `ms`, feeding all the time."""
        # Counted, not calculated: ticks end after six days, and a schedule may be longer.
        while ms > 0:
            self.feed()
            sleep_ms(min(ms, _SLICE_MS))
            ms -= _SLICE_MS
        self.feed()


def handle(response, settings, watchdog, out):
    """Gets the answer of the server, which is verified by now. Prints its beginning; yours will do something with it.

    The body comes in pieces as `readinto` reads it; all of it need never fit into memory.
    """
    buffer = memoryview(bytearray(_CHUNK))
    shown = b""
    total = 0
    while total < settings["max_bytes"]:
        n = response.readinto(buffer[: min(_CHUNK, settings["max_bytes"] - total)])
        if not n:
            break
        watchdog.feed()
        total += n
        room = settings["print_bytes"] - len(shown)
        if room > 0:
            shown += buffer[: min(n, room)]
    else:
        out.note("the body goes on after %d bytes, the limit that job.max_bytes sets" % total)
    if shown:
        out.text(shown)
    if total > len(shown):
        out.note("… %d of %d bytes shown" % (len(shown), total))
    return total


class Application:
    """One job, repeated. `settings`: what `rootlet.config.load` returns. `out`: a rootlet.report.Report.

    `modem`: one whose network tells the time (rootlet.modem), if yours has one; it is asked before ntp_host. With
    network.kind = "modem" it is the one that the settings describe, and all connections go through it.
    """

    modem = None
    _transport = None  # sockets

    def __init__(self, settings, out):
        self.settings = settings
        self.out = out
        self.watchdog = Watchdog(settings["watchdog_ms"])
        self.farewell = "    stopped\n"
        if self.watchdog.running:  # and no port can stop it
            restart_s = settings["watchdog_ms"] // 1000 + 1
            self.farewell += "    the watchdog runs on: the board restarts within %d s\n" % restart_s
        self._context = None
        self._updater = None
        self._clock_due_s = 0  # seconds since 1970

    def run(self):
        """Cycle after cycle until the schedule ends (job.period_s is 0) or Ctrl-C. Tells whether the last went well."""
        period_s = self.settings["job"]["period_s"]
        failures = 0
        while True:
            began_ms = ticks_ms()
            good = self.cycle()
            if not period_s:
                return good
            failures = 0 if good else failures + 1
            delay_ms = 1000 * (retry_s(failures, period_s) if failures else period_s)
            if good:
                delay_ms = max(0, delay_ms - ticks_diff(ticks_ms(), began_ms))
            self.out.note("next in %d s\n" % ((delay_ms + 500) // 1000))
            self.watchdog.idle(delay_ms)

    def cycle(self):
        """The whole job once. Returns whether it went well; reports whatever went wrong, and raises only what is not an
        Exception (KeyboardInterrupt)."""
        self.watchdog.feed()
        good = self._attempt()
        gc.collect()
        self.watchdog.feed()
        return good

    def _attempt(self):
        try:
            return self._cycle()
        except Exception as error:
            # The next cycle begins anew: a store may have been replaced, memory may be short.
            self._context = None
            self._clock_due_s = 0
            gc.collect()
            try:
                self.out.failed(error)
                if not isinstance(error, (OSError, MemoryError)):
                    sys.print_exception(error)  # nobody foresaw it: where did it come from?
            except Exception:
                print("  ! no memory to say what went wrong")
            return False

    def _cycle(self):
        settings = self.settings
        out = self.out
        if settings["network"]["kind"] != "none":
            out.begin("Joining the network")
            out.ok(self._join())
        if self._context is None and not settings["psk_identity"]:
            self._check_memory()
        try:
            context = self._trust()
            self._set_clock(context)
        except OSError as error:
            # No usable store, or no clock: a signed store is believed without them.
            if not self._update(None):
                raise error
            context = self._trust()
            self._set_clock(context)
        else:
            if self._update(context):
                context = self._trust()
        if not context.psk:  # which asks of random numbers only that they differ
            out.begin("Checking the entropy source")
            from rootlet import entropy

            entropy.check()
            out.ok("1024 bits are neither constant nor periodic")
        good = self._get(context)
        if not context.psk:
            self._keep_time("remember", context.stores)
        return good

    def _join(self):
        """The board's IP address in the network."""
        settings = self.settings
        if settings["network"]["kind"] != "modem":
            from rootlet import network

            return network.describe(network.up(settings["network"], self.watchdog.idle))
        if self._transport is None:
            from rootlet.modem.configured import ConfiguredModem

            self.modem = self._transport = ConfiguredModem(settings, self.watchdog.idle)
        return self._transport.join()

    def _trust(self):
        """The context; made once, because checking a store reads all of it."""
        settings = self.settings
        if self._context is None:
            from rootlet import entropy

            entropy.rng = settings["rng"]
            psk = settings["psk_identity"]
            self.out.begin("Loading pre-shared key" if psk else "Loading trust store")
            self._context = _context(settings)
            rootlet.forget("config")
            self.out.ok("identity " + report.printable(psk) if psk else report.stores(self._context))
            gc.collect()
        return self._context

    @staticmethod
    def _check_memory():
        """Raises OutOfMemoryError, with advice, where a connection would fail near its end for want of memory."""
        from rootlet import memory

        memory.preflight("http")
        del memory, rootlet.memory, sys.modules["rootlet.memory"]

    def _update(self, context):
        """Looks for a newer trust store if it is time to. Returns whether there is one now."""
        settings = self.settings
        updates = settings["updates"]
        if not updates["urls"]:
            return False
        if self._updater is None:
            from rootlet.slots import Slots
            from rootlet.updater import Updater

            self._updater = Updater(
                Slots(settings["stores"][0], updates["unsigned"]),
                updates["urls"],
                period_s=updates["period_s"],
                wait_ms=settings["job"]["timeout_ms"],
                transport=self._transport,
                progress=self.watchdog.feed,
            )
        updater = self._updater
        # A board that does its job once and then sleeps has no time to wait for its turn.
        if updater.pace.left_s() > (0 if settings["job"]["period_s"] else _SOON_S):
            return False
        self.out.begin("Looking for a newer store")
        updater.context = context
        updated = updater.run()
        if updated:
            self._context = None
            self.out.ok("sequence %d is in force now" % updater.store.sequence)
        else:
            self.out.ok("none" if updater.outcome == "current" else "not now")
        if updater.error:
            self.out.note(report.printable(updater.error))
        gc.collect()
        return updated

    def _set_clock(self, context):
        if context.psk:
            return  # there is no date to check
        from rootlet import clock

        self.out.begin("Checking the clock")
        self.watchdog.feed()
        host = self.settings["ntp_host"] if self._transport is None else None  # else the modem asks it
        self._keep_time("keep", context.stores, host, self.modem)
        clock.check(context.stores)
        self.out.ok(report.utc(clock.now()))

    def _keep_time(self, step, *arguments):
        """Once a day: what rootlet.timekeeping does before a connection ("keep") and after it ("remember")."""
        from rootlet import clock

        if clock.now() >= self._clock_due_s:
            from rootlet import timekeeping

            getattr(timekeeping, step)(_CLOCK_FILE, *arguments)
            del timekeeping, sys.modules["rootlet.timekeeping"], rootlet.timekeeping  # until tomorrow
            if step == "remember":
                self._clock_due_s = clock.now() + _DAY_S

    def _get(self, context):
        from rootlet import http

        out = self.out
        job = self.settings["job"]
        host, port, _ = http.split_url(job["url"])
        out.begin("Handshake with %s:%d" % (host, port))
        self.watchdog.feed()
        began_ms = ticks_ms()
        transport = self._transport
        if job["proxy"]:
            from rootlet.web.proxy import Proxy

            transport = Proxy(job["proxy"], transport)
        with http.get(
            job["url"], context, job["headers"], job["timeout_ms"], job["address"], transport, self.watchdog.feed
        ) as response:
            self.watchdog.feed()
            out.ok(report.handshake(response.connection))
            out.begin("Verifying peer")
            out.ok(report.peer(response.connection, context, host))
            out.begin("GET")
            out.ok("%d %s" % (response.status, report.printable(response.reason)))
            if 300 <= response.status < 400:
                where = report.printable(response.headers.get("location", ""))
                out.note("redirects are not followed; the server says: " + where)
            total = handle(response, job, self.watchdog, out)
            status = response.status
        out.note("%d bytes of body, %d ms in all" % (total, ticks_diff(ticks_ms(), began_ms)))
        return status < 400


def retry_s(failures, period_s):
    """Seconds to wait after so many failures in a row: 5, 10, 20 …, at most ten minutes or a longer period.

    A quarter more or less by chance, so that boards that failed together do not all come back together.
    """
    from os import urandom

    delay_s = min(_FIRST_RETRY_S << min(failures - 1, 16), max(_LAST_RETRY_S, period_s))
    return max(1, delay_s * (192 + urandom(1)[0] // 2) // 256)


# The configuration's rules are needed twice, and take 6 KB: no name of this module may keep them.


def _load(path):
    from rootlet import config

    return config.load(path)


def _context(settings):
    from rootlet import config

    return config.context(settings)


def main(path="rootlet.json", out=None):
    """Runs the application. Returns an exit status: 0 the job was done, 1 it failed, 130 Ctrl-C."""
    out = out or report.Report()
    application = None
    try:
        application = Application(_load(path), out)
        return 0 if application.run() else 1
    except KeyboardInterrupt:
        # The Unix port raises it from a signal handler. In the middle of a garbage collection that leaves the heap
        # locked: nothing can be allocated any more, and nothing need be. Boards raise it between two bytecodes.
        out.last("    stopped\n" if application is None else application.farewell)
        return 130
    except Exception as error:
        out.failed(error)
        return 1


def _has_exit_status():
    """Whether a program's end is a process's end. On a board SystemExit is a soft reset: main.py would begin again."""
    try:
        from machine import reset  # noqa: F401 - whether there is one
    except ImportError:
        return sys.platform in ("linux", "darwin", "win32")
    return False


if __name__ == "__main__":
    # Made while memory can be allocated.
    _exits = {1: SystemExit(1), 130: SystemExit(130)} if _has_exit_status() else {}
    _status = main()
    if _status in _exits:
        raise _exits[_status]
