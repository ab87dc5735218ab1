// Mbed TLS as MicroPython's bare-metal ports configure it (compare ports/stm32/mbedtls/mbedtls_config_port.h):
// every allocation comes from the garbage-collected heap. With ROOTLET_TLS_SYSTEM_HEAP from the C library's instead, as on
// ESP32 boards from ESP-IDF's.
#ifndef ROOTLET_MBEDTLS_CONFIG_BOARD_H
#define ROOTLET_MBEDTLS_CONFIG_BOARD_H

#ifndef ROOTLET_TLS_SYSTEM_HEAP
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)
#endif

#include "extmod/mbedtls/mbedtls_config_common.h"

// A board has a hardware random number generator; here the kernel's is used. This changes no size:
// mbedtls_entropy_context has the same twenty source slots either way.
#undef MBEDTLS_ENTROPY_HARDWARE_ALT
#undef MBEDTLS_NO_PLATFORM_ENTROPY

// The Unix port's cryptolib needs counter mode.
#define MBEDTLS_CIPHER_MODE_CTR

#endif
