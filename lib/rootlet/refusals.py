"""Why a chain was refused, in words, and what to remember of it. Loaded when one was.

rules.py has the words of the chain policy, this module those of Mbed TLS.
"""

from micropython import const
from rootlet import errors

# What mbedtls_x509_crt_verify_info says, class of the exception, what a certificate is. The first that matches names
# the class.
_REASONS = const(
    """
revoked|Certificate|is revoked
expected CN|Hostname|is not for this host name
starts in the future|NotYetValid|is not yet valid
has expired|Expired|has expired
not correctly signed|UnknownIssuer|is not signed by a trust anchor
unacceptable hash|Certificate|is signed with a weak hash
unacceptable PK|Certificate|is signed with a weak algorithm
unacceptable key|Certificate|has a weak key
keyUsage|Certificate|is used against its key usage"""
)
_SCARCE_BYTES = const(6000)
_CERTIFICATE_SEEN = const(2)  # as in flight.py
_MAX_HOSTS = const(8)  # whose issuers a Context remembers


def from_violation(violation, handshake, host, error):
    """The exception for `violation`, what policy.ChainPolicy says of a chain that it refused."""
    rule, depth, text, source = violation
    if rule == "issuer-unknown":
        return unknown_issuer(handshake, host, error)
    kind = "Hostname" if rule[:5] == "name-" else "Pin" if rule[:4] == "pin-" else "Policy"
    message = "%s: %s%s" % (host, text, " (%s)" % source if source else "")
    if kind == "Pin":
        seen = handshake.policy.seen
        message += "; seen: " + ", ".join(seen)
    refused = getattr(errors, kind + "Error")(message, None, error)
    refused.rule = rule
    refused.depth = depth
    if kind == "Pin":
        refused.seen = seen
    return refused


def from_verify_info(info, handshake, host, error):
    """The exception for what Mbed TLS says of a chain that it refused: `info`, one line a reason."""
    reasons = []
    kind = None
    for line in _REASONS.split("\n")[1:]:
        text, name, words = line.split("|")
        if text in info:
            reasons.append("a certificate " + words)
            kind = kind or name
    if kind == "UnknownIssuer":
        return unknown_issuer(handshake, host, error)
    reasons = reasons or info.strip().split("\n")
    message = "the certificate of %s was refused: %s" % (host, "; ".join(reasons))
    refused = getattr(errors, (kind or "Certificate") + "Error")(message, None, error)
    refused.reasons = tuple(reasons)
    return refused


def unknown_issuer(handshake, host, error):
    """The exception for a chain that leads to no trust anchor."""
    remedy = None
    if handshake.retry:
        message = "TLS 1.3 hid the issuers of %s's chain until now" % host
        remedy = "Connect again with this Context, as rootlet.connect does by itself"
    elif handshake.loaded:
        free_bytes = handshake.free_bytes
        if free_bytes is not None and free_bytes < _SCARCE_BYTES:
            # Where Mbed TLS uses the Python heap it calls a signature wrong that it had no memory to check.
            from rootlet.diagnosis import no_memory

            message = "the chain of %s could not be checked: %d bytes of memory were free" % (host, free_bytes)
            return no_memory(message, error)
        if handshake.loaded[0][0]:
            message = host + " shows another certificate than the one that is trusted"
            remedy = "Ask the server's owner why; do not connect before you know"
        else:
            message = "the chain of %s names a known issuer, which did not sign it" % host
            remedy = "Do not connect: the chain is wrong or forged"
    elif handshake.missing is None:
        message = host + " sent no issuer that could be looked up"
    else:
        from rootlet.rules import printable_name

        message = "no trust store has the issuer of %s's chain, '%s'" % (host, printable_name(handshake.missing))
    return errors.UnknownIssuerError(message, remedy, error)


def note_issuers(handshake):
    """Lets the Context of `handshake`, which failed, remember those of its `issuers` that a store has, for `retry`:
    only those, because a server must not fill the memory with names that are of no use."""
    context = handshake.context
    hosts = context.late_issuers
    host = handshake.host
    if handshake.observer.seen == _CERTIFICATE_SEEN:
        # Of no use to a server that shows its issuers: the anchors of those that are remembered, perhaps from somebody
        # else, may have taken the room of the right one.
        handshake.retry = hosts.pop(host, None) is not None
        return
    found = []
    for name in handshake.issuers:
        for store in context.stores:
            if store.lookup(name, host):
                found.append(name)
                break
    if not found:
        if not handshake.loaded and handshake.issuers:
            handshake.missing = handshake.issuers[-1]
        return
    # News for this attempt are worth another: servers change their CA, and handshakes run side by side.
    handshake.retry = tuple(found) != handshake._issuers_known
    if host not in hosts and len(hosts) == _MAX_HOSTS:
        hosts.pop(next(iter(hosts)))
    hosts[host] = tuple(found)
