# Runs one job (job_*.py) once. Arguments: name of the job, what to do, host, port, CA file, stores.
# What to do: "complete", to find out whether the heap is large enough; or "watch", which prints the live bytes of
# the heap at each phase, and the peaks since the phase before (in JSON; needs module heap_peak).
#
# A job without stores trusts the CA file. What only some jobs need is in the environment.

import sys

name, action, host, port, ca = sys.argv[1:6]
stores = sys.argv[6:]

if action == "watch":
    import gc
    import heap_peak

    phases = []

    def phase(at):
        peaks = heap_peak.peak(), heap_peak.python_peak(), heap_peak.tls_peak()
        heap_peak.stop()
        gc.collect()
        phases.append((at, gc.mem_alloc(), heap_peak.tls_used()) + peaks)
        heap_peak.start()

    heap_peak.start()
    phase("started")

    if name != "job_bare":
        # The transport is connected, and TLS not yet begun.
        import rootlet.dial

        held = [rootlet.dial.send_at_once]  # not for longer than needed: rootlet lets go of modules

        def dialled(sock):
            held.pop()(sock)
            phase("dialled")

        rootlet.dial.send_at_once = dialled
else:

    def phase(at):
        pass


done = __import__(name).run(host, int(port), ca, stores, phase)
phase("closed")
if action == "watch":
    import json

    heap_peak.stop()
    print(json.dumps(phases))
sys.exit(0 if done else 1)
