# For counting instructions: one connection of one competitor ("bare", "verified") that receives `size` bytes, nothing
# else.

import json
import sys

from race import Bare, Verified, ask

request = json.loads(sys.argv[1])
competitor = Bare(request) if request["who"] == "bare" else Verified(request, False)
size = request["size"]
stream = competitor.connect()
ask(stream, competitor.host, size)
buffer = bytearray(4096)
got = 0
n = len(buffer)
while n == len(buffer):  # a read is short only at the end
    n = stream.readinto(buffer)
    got += n
stream.close()
if got < size:
    raise OSError("only %d bytes came" % got)
print(got)
