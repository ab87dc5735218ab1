// Variant of MicroPython's Unix port that uses memory as a bare-metal 32-bit board (stm32) does.
//
// The object sizes, the garbage collector's block size (16 bytes) and the feature level follow from
// the 32-bit build; what is set here is where the Unix port differs from ports/stm32/mpconfigport.h.

// The level of boards with enough flash for TLS: ports/stm32 and ports/esp32 use the same.
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

// Single precision, as on boards. It also makes time.time() an int, as there.
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

#include "../mpconfigvariant_common.h"

// Shorter exception texts, as on boards: the long ones take heap when something is raised.
#undef MICROPY_ERROR_REPORTING
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_NORMAL)

// One contiguous heap whose size `-X heapsize=` fixes.
#define MICROPY_GC_SPLIT_HEAP (0)

// m_tracked_calloc and m_tracked_free, through which Mbed TLS allocates (mbedtls_config_board.h).
// The Unix port enables them only together with ffi, which is off here.
#define MICROPY_TRACKED_ALLOC (1)
