# For counting instructions: `count` connections of one competitor ("bare", "verified",
# "verified-fresh"), nothing else.

import json
import sys

from race import Bare, Verified

request = json.loads(sys.argv[1])
who = request["who"]
competitor = Bare(request) if who == "bare" else Verified(request, who == "verified-fresh")
for _ in range(request["count"]):
    competitor.connect().close()
print(1)
