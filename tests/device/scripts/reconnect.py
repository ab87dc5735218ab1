# Brings the network up, asks again while it is up, lets it break down, and brings it up again.

import network as driver
from rootlet import config, network

wlan = driver.WLAN(driver.STA_IF)
driver.WLAN = lambda _: wlan  # the real one is a single object, too
settings = config.load()["network"]
states = []


def up():
    states.append("up" if network.up(settings).isconnected() else "down")


up()
up()
wlan.outcome = None
up()
print(*states)
