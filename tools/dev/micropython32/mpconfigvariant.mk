# Make settings of the variant described in mpconfigvariant.h.

MICROPY_FORCE_32BIT = 1

# Boards have no ffi and no Berkeley DB, and an stm32 has no threads. Each would also need a library
# that Debian's MicroPython source leaves out or that would have to be installed for 32 bits.
MICROPY_PY_FFI = 0
MICROPY_PY_BTREE = 0
MICROPY_PY_THREAD = 0

MICROPY_PY_SSL = 1
MICROPY_SSL_MBEDTLS = 1
MBEDTLS_CONFIG_FILE = \"variants/rootlet32/mbedtls_config_board.h\"

# asyncio only; the Unix port's default manifest wants micropython-lib, which Debian leaves out.
FROZEN_MANIFEST = $(VARIANT_DIR)/manifest.py

# heap_peak.c counts what passes through these.
LDFLAGS_EXTRA += -Wl,--wrap=gc_alloc,--wrap=gc_realloc
LDFLAGS_EXTRA += -Wl,--wrap=m_tracked_calloc,--wrap=m_tracked_free

ifeq ($(ROOTLET_TLS_HEAP),system)
CFLAGS += -DROOTLET_TLS_SYSTEM_HEAP
endif
