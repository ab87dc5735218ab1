# The least and the most of 200 waits after 1, 2, … failures in a row, in JSON.

import json

import application

result = {}
for period_s in (5, 86400):
    result["period %d" % period_s] = ranges = []
    for failures in range(1, 31):
        waits = [application.retry_s(failures, period_s) for _ in range(200)]
        ranges.append((min(waits), max(waits)))
print(json.dumps(result))
