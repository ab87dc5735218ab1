// What micropython32/heap_peak.c counts, for a MicroPython that is there already: loaded before it with LD_PRELOAD.
//
// It works for the interpreter of the Python package index, a shared object whose allocator (py/gc.c) and whose
// Mbed TLS call each other and the C library through the symbol table, which a library loaded before comes first in.
// Of that object, only Mbed TLS calls calloc.
//
// A program asks with os.getenv (heap_peak.py beside this file); the answers are decimal numbers of bytes:
//
//   heap_peak.start        forget earlier peaks and measure from now on
//   heap_peak.stop         measure no longer; the peaks stay readable
//   heap_peak.python_peak  highest live bytes in heap blocks since start: as there, the heap is collected before an
//                          allocation that would exceed the peak, so that garbage does not count
//   heap_peak.tls_peak     highest bytes that Mbed TLS held since start, as it asked for them
//   heap_peak.tls_used     bytes that it holds now
//   heap_peak.peak         highest sum of both at one moment since start
//
// Build: cc -shared -fPIC -O1 heap_peak.c -o heap_peak.so (glibc).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (4 * sizeof(void *)) // MICROPY_BYTES_PER_GC_BLOCK
#define PREFIX "heap_peak."
#define SLOTS 16384 // of Mbed TLS's blocks; a handshake has some hundred at a time

extern void *__libc_calloc(size_t nmemb, size_t size);
extern void __libc_free(void *ptr);

static void *object_base; // of the shared object with MicroPython in it
static void *(*real_gc_alloc)(size_t, unsigned int);
static void *(*real_gc_realloc)(void *, size_t, bool);
static size_t (*gc_nbytes)(const void *);
static bool (*gc_is_locked)(void);
static void (*gc_collect)(void);
static void (*gc_info)(size_t *);
static char *(*real_getenv)(const char *);

static bool measuring;
static size_t python_peak_bytes;
static size_t python_bound_bytes; // at least the bytes used now: frees since the last count are not subtracted
static size_t both_peak_bytes;
static size_t tls_used_bytes;
static size_t tls_peak_bytes;

static struct {
    void *ptr;
    size_t bytes;
} blocks[SLOTS];

static void fail(const char *what) {
    fprintf(stderr, "heap_peak: %s\n", what);
    abort();
}

static void *symbol(void *object, const char *name) {
    void *found = dlsym(object, name);
    if (found == NULL) {
        fail(name);
    }
    return found;
}

// The object that `caller` is in has MicroPython's allocator.
static void find_micropython(void *caller) {
    Dl_info info;
    void *object = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (object == NULL) {
        fail("the allocator is not in a shared object");
    }
    real_gc_realloc = symbol(object, "gc_realloc");
    gc_nbytes = symbol(object, "gc_nbytes");
    gc_is_locked = symbol(object, "gc_is_locked");
    gc_collect = symbol(object, "gc_collect");
    gc_info = symbol(object, "gc_info");
    real_gc_alloc = symbol(object, "gc_alloc");
    object_base = info.dli_fbase;
}

static size_t live_bytes(void) {
    size_t info[16]; // gc_info_t: total, used, and others
    gc_info(info);
    return info[1];
}

static void note_peaks(void) {
    if (python_bound_bytes > python_peak_bytes) {
        python_peak_bytes = python_bound_bytes;
    }
    if (python_bound_bytes + tls_used_bytes > both_peak_bytes) {
        both_peak_bytes = python_bound_bytes + tls_used_bytes;
    }
}

// `growth` bytes more of the Python heap, and `tls_growth` of Mbed TLS, are about to be live.
static void note_growth(size_t growth, size_t tls_growth) {
    if (!measuring || gc_is_locked()) {
        return;
    }
    growth = (growth + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    python_bound_bytes += growth;
    size_t both = python_bound_bytes + tls_used_bytes + tls_growth;
    if (python_bound_bytes <= python_peak_bytes && both <= both_peak_bytes) {
        return;
    }
    gc_collect();
    python_bound_bytes = live_bytes() + growth;
    tls_used_bytes += tls_growth;
    note_peaks();
    tls_used_bytes -= tls_growth;
}

void *gc_alloc(size_t n_bytes, unsigned int alloc_flags) {
    if (real_gc_alloc == NULL) {
        find_micropython(__builtin_return_address(0));
    }
    note_growth(n_bytes, 0);
    return real_gc_alloc(n_bytes, alloc_flags);
}

// Counts growth in place; for a block that moves, gc_realloc calls gc_alloc.
void *gc_realloc(void *ptr, size_t n_bytes, bool allow_move) {
    if (real_gc_alloc == NULL) {
        find_micropython(__builtin_return_address(0));
    }
    size_t old_bytes = ptr == NULL ? 0 : gc_nbytes(ptr);
    if (n_bytes > old_bytes) {
        note_growth(n_bytes - old_bytes, 0);
    }
    return real_gc_realloc(ptr, n_bytes, allow_move);
}

static size_t slot_of(void *ptr) {
    size_t slot = ((uintptr_t)ptr >> 4) % SLOTS;
    while (blocks[slot].ptr != NULL && blocks[slot].ptr != ptr) {
        slot = (slot + 1) % SLOTS;
    }
    return slot;
}

void *calloc(size_t nmemb, size_t size) {
    Dl_info info;
    if (object_base == NULL || !dladdr(__builtin_return_address(0), &info) || info.dli_fbase != object_base) {
        return __libc_calloc(nmemb, size);
    }
    size_t bytes = nmemb * size;
    note_growth(0, bytes);
    void *ptr = __libc_calloc(nmemb, size);
    if (ptr != NULL) {
        static size_t used_slots;
        size_t slot = slot_of(ptr);
        if (blocks[slot].ptr == NULL && ++used_slots > SLOTS / 2) {
            fail("too many blocks");
        }
        blocks[slot].ptr = ptr;
        blocks[slot].bytes = bytes;
        tls_used_bytes += bytes;
        if (tls_used_bytes > tls_peak_bytes) {
            tls_peak_bytes = tls_used_bytes;
        }
    }
    return ptr;
}

// A slot keeps its address, so that a search goes on behind it; addresses come back.
void free(void *ptr) {
    if (ptr != NULL && object_base != NULL) {
        size_t slot = slot_of(ptr);
        if (blocks[slot].ptr == ptr) {
            tls_used_bytes -= blocks[slot].bytes;
            blocks[slot].bytes = 0;
        }
    }
    __libc_free(ptr);
}

static void start(void) {
    if (object_base == NULL) {
        fail("nothing was allocated yet");
    }
    gc_collect();
    python_bound_bytes = live_bytes();
    python_peak_bytes = both_peak_bytes = 0;
    tls_peak_bytes = tls_used_bytes;
    note_peaks();
    measuring = true;
}

char *getenv(const char *name) {
    static char text[24];
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
        if (real_getenv == NULL) {
            real_getenv = symbol(RTLD_NEXT, "getenv");
        }
        return real_getenv(name);
    }
    const char *question = name + strlen(PREFIX);
    size_t answer = 0;
    if (strcmp(question, "start") == 0) {
        start();
    } else if (strcmp(question, "stop") == 0) {
        measuring = false;
    } else if (strcmp(question, "python_peak") == 0) {
        answer = python_peak_bytes;
    } else if (strcmp(question, "tls_peak") == 0) {
        answer = tls_peak_bytes;
    } else if (strcmp(question, "tls_used") == 0) {
        answer = tls_used_bytes;
    } else if (strcmp(question, "peak") == 0) {
        answer = both_peak_bytes;
    } else {
        return NULL;
    }
    snprintf(text, sizeof(text), "%zu", answer);
    return text;
}
