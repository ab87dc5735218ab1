# A device program: connects once for each line of JSON on standard input and answers each with a line of JSON.
#
# Request: id, host, port, policy, anchors (PEM, one each), ignore_clock_floor.
# Answer: id, connected, kind (class of the exception), certificate (it is a CertificateError), message, number (the
# low-level error, if it has one).

import json
import sys

import rootlet
from rootlet.errors import CertificateError, ConfigError, TLSError
from rootlet.pem import decode
from rootlet.rules import explain
from rootlet.webpki import check_root


def check_nothing(stores):
    pass


def unfit(pem, policy):
    """Why the certificate cannot be a trust anchor; None if it can."""
    try:
        rootlet.Context(cadata=pem.encode(), policy=policy)
        if policy == "webpki":
            rule = check_root(decode(pem.encode())[0])
            if rule:
                return explain(rule, None)[2]
    except ConfigError as error:
        return error.message
    return None


def attempt(request):
    answer = {"id": request["id"], "connected": False, "certificate": False, "kind": "", "message": "", "number": 0}
    # An application that is told that one of its CA certificates is unfit leaves that one out.
    fit = []
    why = None
    for pem in request["anchors"]:
        fault = unfit(pem, request["policy"])
        why = fault or why
        if not fault:
            fit.append(pem)
    if not fit:
        answer["kind"] = "ConfigError"
        answer["certificate"] = True
        answer["message"] = why
        return answer
    try:
        context = rootlet.Context(cadata="".join(fit).encode(), policy=request["policy"])
        with rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1", timeout_ms=5000):
            answer["connected"] = True
    except TLSError as error:
        answer["kind"] = type(error).__name__
        answer["certificate"] = isinstance(error, CertificateError)
        answer["message"] = error.message + (" (a trust anchor was left out: " + why + ")" if why else "")
        cause = error.cause
        if isinstance(cause, OSError) and isinstance(cause.errno, int):
            answer["number"] = cause.errno
    return answer


while True:
    line = sys.stdin.readline()
    if not line:
        break
    request = json.loads(line)
    if request["ignore_clock_floor"]:
        # The case has its own idea of the present, before rootlet's first day.
        import rootlet.clock

        rootlet.clock.check = check_nothing
    print(json.dumps(attempt(request)))
