# main.py of a board whose modem knows the time: what NETWORK_TIME says.

import os

import application


class Modem:
    def network_time(self):
        return int(os.getenv("NETWORK_TIME"))


application.Application.modem = Modem()
raise SystemExit(application.main())
