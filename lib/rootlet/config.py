"""The board's configuration: `rootlet.json`, written by `rootlet deploy` and checked before anything is done with it.

Everything is optional but `job.url`:

    network     kind          "none" (the operating system's, or the application's own), "wifi", "ethernet" or "modem"
                ssid          1 … 32 bytes; password: at most 64 bytes, empty for an open network
                hostname      what the board calls itself in the network
                timeout_ms    for one attempt; retries: further attempts in one cycle
    modem       uart          number of the UART that a SIM800-class modem is at, see modem/sim800.py
                tx, rx        pins of that UART, where the port lets choose; power_key: the pin at PWRKEY; each a number
                              or a name
                baudrate      bit/s; rx_bytes: of each connection's buffer
                apn           as the operator says, and user, password; pin: of the SIM
    stores      paths of trust stores; cafile: path of further CA certificates, PEM or DER
    policy      "default" or "webpki"; ciphers: list of Mbed TLS cipher suite names
    pins        keys, one of which must be in the chain: see pins.py; at least two
    client_cert path of the board's own certificate; client_key: path of its key, if that is in a file of its own
    psk_identity, psk_key   a pre-shared key, as hexadecimal digits, in place of all certificates
    ntp_host    time server, asked when the clock is not set, and once a day whether it is late
    rng         what the board's random number generator is: "unknown", "yes", "no" or "radio"; see entropy.py
    watchdog_ms 0: none
    job         url           what to GET, https only; address: where to dial instead of the URL's host
                proxy         "http://[user:password@]host:port" of a proxy for CONNECT
                headers       further header fields; period_s: 0 is once
                timeout_ms    of dialling and handshake together, then of the answer's head, then of each read
                max_bytes     of the body that are read; print_bytes: of these that are printed
    updates     urls          where newer versions of the first of `stores` are, http or https, tried in this order;
                              without them the store changes over USB only
                period_s      between two questions; unsigned: "first-push", "never" or "usb", see slots.py
"""

# Without const: the host loads this file, too, and Python's module micropython has none.
_FILE = "rootlet.json"
_MAX_FILE = 8192
_REMEDY = "Correct rootlet.toml and deploy again (rootlet deploy)"

# A choice is a tuple of words, the first being the default. Everything else: [type, least, most, default], where least
# and most are values of a number and lengths of the rest.
_TOP = {
    "stores": [list, 0, 4, ("/certs/roots.rtlt",)],
    "cafile": [str, 1, 255, None],
    "policy": ("default", "webpki"),
    "ciphers": [list, 1, 64, None],
    "pins": [list, 2, 16, None],
    "client_cert": [str, 1, 255, None],
    "client_key": [str, 1, 255, None],
    "psk_identity": [str, 1, 128, None],
    "psk_key": [str, 32, 64, None],
    "ntp_host": [str, 1, 253, None],
    "rng": ("unknown", "yes", "no", "radio"),
    # STM32's independent watchdog counts to 32.7 s: ports/stm32/machine_wdt.c
    "watchdog_ms": [int, 0, 32_000, 0],
}
_NETWORK = {
    "kind": ("none", "wifi", "ethernet", "modem"),
    "ssid": [str, 1, 32, None],
    "password": [str, 0, 64, ""],
    "hostname": [str, 1, 32, None],
    "timeout_ms": [int, 1000, 120_000, 15_000],
    "retries": [int, 0, 100, 4],
}
_PIN = [int, 0, 255, None]
_PIN_NAME = [str, 1, 16, None]
_MODEM = {
    "uart": [int, 0, 15, None],
    "tx": _PIN,
    "rx": _PIN,
    "power_key": _PIN,
    "baudrate": [int, 1200, 115_200, 115_200],  # what SIM800 finds out by itself: AT Command Manual, AT+IPR
    "rx_bytes": [int, 64, 1460, 512],
    "apn": [str, 0, 100, ""],
    "user": [str, 0, 64, ""],
    "password": [str, 0, 64, ""],
    "pin": [str, 4, 8, None],
}
_JOB = {
    "url": [str, 9, 2048, None],
    "address": [str, 1, 253, None],
    "proxy": [str, 8, 255, None],
    "headers": [dict, 0, 16, None],
    "period_s": [int, 0, 604_800, 0],
    "timeout_ms": [int, 100, 120_000, 10_000],
    "max_bytes": [int, 0, 1 << 30, 65_536],
    "print_bytes": [int, 0, 4096, 512],
}
_UPDATES = {
    "urls": [list, 0, 4, ()],
    "period_s": [int, 60, 604_800, 86_400],
    "unsigned": ("first-push", "never", "usb"),
}
_WORDS = {str: "a text", int: "a whole number", list: "a list of texts", dict: "a table of texts"}


def load(path=_FILE):
    """The configuration in the file at `path`. Raises ConfigError, which names the key that is wrong."""
    from json import loads

    try:
        with open(path) as file:
            text = file.read(_MAX_FILE + 1)
    except (OSError, UnicodeError) as error:
        _refuse("%s cannot be read" % path, "Write one with rootlet deploy", error)
    if len(text) > _MAX_FILE:
        _refuse("%s is longer than %d characters" % (path, _MAX_FILE))
    try:
        given = loads(text)
    except ValueError as error:
        _refuse("%s is not JSON" % path, _REMEDY, error)
    return check(given)


def check(given):
    """`given` (what the JSON says) with every default filled in. Raises ConfigError."""
    if type(given) is not dict:
        _refuse("the configuration is no table")
    given = dict(given)
    network = _table(given.pop("network", {}), _NETWORK, "network.")
    modem = _table(given.get("modem", {}), _MODEM, "modem.")
    _check_modem(network["kind"], modem, given.pop("modem", None))
    job = _table(given.pop("job", {}), _JOB, "job.")
    updates = _table(given.pop("updates", {}), _UPDATES, "updates.")
    config = _table(given, _TOP, "")
    config["updates"] = updates
    config["network"] = network
    config["modem"] = modem
    config["job"] = job
    if not job["url"]:
        _refuse("job.url is missing", "Say what to fetch: https://host/path")
    if job["url"][:8].lower() != "https://":
        _refuse("job.url must begin with https://", "rootlet makes verified connections only")
    if network["kind"] == "wifi" and not network["ssid"]:
        _refuse("network.ssid is missing")
    if job["proxy"] and job["proxy"][:7].lower() != "http://":
        _refuse("job.proxy must begin with http://", "What goes through it is verified all the same")
    if config["client_key"] and not config["client_cert"]:
        _refuse("client_key is given without client_cert")
    if config["psk_identity"] or config["psk_key"]:
        _check_psk(config, given)
    elif not config["stores"] and not config["cafile"]:
        _refuse("stores is empty and there is no cafile", "Name at least one thing to trust")
    for url in updates["urls"]:
        if url[:7].lower() != "http://" and url[:8].lower() != "https://":
            _refuse("updates.urls must begin with https:// or http://")
    if updates["urls"] and not config["stores"]:
        _refuse("updates.urls is given and stores is empty", "Say which store is to be updated")
    watchdog_ms = config["watchdog_ms"]
    # Nobody feeds it while one of these calls waits. Starting the PHY without a cable takes 10 s: ports/stm32/eth.c.
    least_ms = max(job["timeout_ms"], 10_000 if network["kind"] == "ethernet" else 0) + 5000
    if watchdog_ms and watchdog_ms < least_ms:
        message = "watchdog_ms is %d: here it must be 0 or at least %d" % (watchdog_ms, least_ms)
        _refuse(message, "Raise it, or lower job.timeout_ms")
    return config


def context(settings):
    """The Context that `settings` (what `check` returned) describe. Raises what making one raises."""
    from . import Context

    psk = None
    if settings["psk_key"]:
        from binascii import unhexlify

        psk = settings["psk_identity"], unhexlify(settings["psk_key"])
    return Context(
        stores=list(settings["stores"]),
        cafile=settings["cafile"],
        ciphers=settings["ciphers"],
        policy=settings["policy"],
        timeout_ms=settings["job"]["timeout_ms"],
        client_cert=settings["client_cert"],
        client_key=settings["client_key"],
        psk=psk,
        pins=settings["pins"],
    )


def _check_modem(kind, modem, given):
    if kind != "modem":
        if given is not None:
            _refuse("modem has no use beside network.kind = %s" % kind, 'Say network.kind = "modem", or leave it out')
    elif modem["uart"] is None:
        _refuse("modem.uart is missing", "Say which UART the modem is at")
    for key in ("apn", "user", "password"):
        for c in modem[key]:
            if not " " <= c <= "~" or c == '"':
                _refuse("modem.%s has a character that no AT command can carry" % key)
    if modem["pin"] and not modem["pin"].isdigit():
        _refuse("modem.pin is not made of digits")


def _check_psk(config, given):
    if not config["psk_identity"] or not config["psk_key"]:
        _refuse("psk_identity and psk_key need each other", "Give both, or neither")
    for c in config["psk_key"]:
        if c not in "0123456789abcdefABCDEF":
            _refuse("psk_key is not hexadecimal", "Make one with openssl rand -hex 32")
    if len(config["psk_key"]) % 2:
        _refuse("psk_key has an odd number of digits", "Make one with openssl rand -hex 32")
    config["stores"] = config["stores"] if given.get("stores") else ()
    for key in ("stores", "cafile", "pins", "client_cert"):
        if config[key]:
            _refuse("%s has no use beside psk_key" % key, "Leave it out: no certificate is looked at then")


def _table(given, rules, where):
    if type(given) is not dict:
        _refuse("%s is no table" % where[:-1])
    table = {}
    for key in given:
        if key not in rules:
            known = ", ".join(sorted(rules)) + ("" if where else "; tables: job, modem, network, updates")
            _refuse("%s%s is no setting" % (where, key), "Known here: " + known)
    for key, rule in rules.items():
        value = given.get(key)
        if type(rule) is tuple:
            if value is None:
                value = rule[0]
            elif value not in rule:
                _refuse("%s%s must be one of: %s" % (where, key, ", ".join(rule)))
        elif value is None:
            value = rule[3]
        else:
            _check(value, _PIN_NAME if rule is _PIN and type(value) is str else rule, where + key)
        table[key] = value
    return table


def _check(value, rule, name):
    # Never says the value: it may be a password. `type`, because True is an int elsewhere.
    kind, least, most, _ = rule
    if type(value) is not kind:
        _refuse("%s must be %s" % (name, _WORDS[kind]))
    n = value if kind is int else len(value.encode() if kind is str else value)
    if not least <= n <= most:
        unit = "" if kind is int else " bytes long" if kind is str else " entries long"
        _refuse("%s must be %d to %d%s" % (name, least, most, unit))
    if kind is str and "\0" in value:
        _refuse("%s has a zero byte" % name)
    for entry in value.values() if kind is dict else value if kind is list else ():
        if type(entry) is not str:
            _refuse("%s must be %s" % (name, _WORDS[kind]))


def _refuse(message, remedy=_REMEDY, cause=None):
    from .errors import ConfigError

    raise ConfigError(message, remedy, cause)
