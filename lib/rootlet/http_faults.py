"""The faults of HTTP in words. Imported when there is one."""

from rootlet import errors, forget

# One line a fault: its name, class of the exception without "Error", cause, remedy (none: that of the class).
FAULTS = """
url|Config|cannot fetch %s as %s://host[:port]/path|Give scheme, host and path, without user or password
character|Config|the URL has a character that must be percent-encoded|Encode it: %20 for a space
field|Config|the header field %s would break the request|Correct its name or its value
interim|HTTP|the server sends interim responses without end|
ambiguous|HTTP|the length of the response is ambiguous|
length|HTTP|the server gives the length of the response as %s|
long|HTTP|a line of the response, or all of them together, are too long|This may be no HTTP server
no-http|HTTP|the server does not speak HTTP/1: %s|
header|HTTP|the server sent a malformed header line|
control|HTTP|a line of the response has a CR or NUL within|This may be no HTTP server
chunk|HTTP|a chunk of the response has no length|
chunk-end|HTTP|a chunk of the response has not the length that it said|
cut-line|Truncation|the response ends too early, in the middle of a line|
cut-body|Truncation|the response ends %d bytes too early|
"""


def failure(fault, detail=None):
    """The exception for `fault`, a name above, with `detail` put into its cause. What is no name there is the cause
    itself, and `detail` the remedy.
    """
    forget("http_faults")
    line = errors.entry(FAULTS, fault)
    if not line:
        return errors.HTTPError(fault, detail)
    kind, cause, remedy = line
    return getattr(errors, kind + "Error")(cause % detail if "%" in cause else cause, remedy or None)
