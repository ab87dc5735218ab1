# Freezes rootlet into a firmware, where its bytecode takes no heap:
#   make -C ports/esp32 BOARD=ESP32_GENERIC FROZEN_MANIFEST=.../firmware/manifest.py
include("$(PORT_DIR)/boards/manifest.py")
package("rootlet", base_path="../lib")
