# Runs two cycles of the application as where memory is short, and prints which modules of rootlet are loaded then.

import sys

import application
import rootlet

rootlet.forgets = True
app = application.Application(application._load("rootlet.json"), application.report.Report())
if not (app.cycle() and app.cycle()):
    raise SystemExit(1)
print("loaded:", " ".join(sorted(name[8:] for name in sys.modules if name[:8] == "rootlet.")))
