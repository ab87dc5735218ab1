# Freezes rootlet into a firmware, where its bytecode takes no heap:
#   make -C ports/esp32 BOARD=ESP32_GENERIC FROZEN_MANIFEST=.../firmware/manifest.py
# All of it, or from a manifest of your own only what you name; the names are those of docs/packages.md:
#   include(".../firmware/manifest.py", packages=("rootlet", "rootlet-http"))
import json

options.defaults(packages=None)
include("$(PORT_DIR)/boards/manifest.py")

# The same lists as for mip: paths from lib.
_files = []
for _name in options.packages or ():
    with open("../lib/%s.json" % ("package" if _name == "rootlet" else _name)) as _list:
        _files += [_path[len("rootlet/") :] for _path, _ in json.load(_list)["urls"]]
with open("../lib/package.json") as _list:
    metadata(version=json.load(_list)["version"])
# Without line numbers, as `rootlet deploy` compiles it.
package("rootlet", files=sorted(set(_files)) or None, base_path="../lib", opt=3)
