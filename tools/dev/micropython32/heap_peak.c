// Module `heap_peak`: the most live heap a job needed, and Mbed TLS's share of it.
//
// gc.mem_alloc() counts garbage that was not collected yet, and micropython.mem_peak() never subtracts
// what a collection frees, so neither tells what a smaller heap would have to hold. Here the linker's
// --wrap puts a check in front of every allocation: when the heap with the new block would exceed the
// highest value so far, the heap is collected first, so that only what is still referenced counts.
// A collection at that point is allowed: gc_alloc itself collects there when the heap is full.
//
//   start()     forget earlier peaks and measure from now on
//   stop()      measure no longer; the peaks stay readable
//   peak()      -> int: highest live bytes in heap blocks (16 bytes each) since start()
//   tls_peak()  -> int: highest bytes held by Mbed TLS since start(), in blocks as well
//   tls_used()  -> int: bytes that Mbed TLS holds now, always counted
//   python_peak() -> int: highest live bytes that are not Mbed TLS's, which is what the Python heap has to
//                  hold on a board (ESP32) where Mbed TLS allocates elsewhere
//
// peak() is a lower bound of the heap needed: fragmentation and the collector's own tables
// (three bits for each block of 16 bytes) come on top.

#include "py/gc.h"
#include "py/mpstate.h"
#include "py/runtime.h"

static bool measuring;
static bool allocating_for_tls;
static size_t heap_peak_bytes;
static size_t used_bound_bytes; // at least the bytes used now: frees since the last count are not subtracted
static size_t python_peak_bytes;
static size_t python_bound_bytes; // the same bound for python_peak_bytes
static size_t tls_used_bytes;
static size_t tls_peak_bytes;

void *__real_gc_alloc(size_t n_bytes, unsigned int alloc_flags);
void *__real_gc_realloc(void *ptr, size_t n_bytes, bool allow_move);
void *__real_m_tracked_calloc(size_t nmemb, size_t size);
void __real_m_tracked_free(void *ptr);

void *__wrap_gc_alloc(size_t n_bytes, unsigned int alloc_flags);
void *__wrap_gc_realloc(void *ptr, size_t n_bytes, bool allow_move);
void *__wrap_m_tracked_calloc(size_t nmemb, size_t size);
void __wrap_m_tracked_free(void *ptr);

static size_t live_bytes(void) {
    gc_info_t info;
    gc_info(&info);
    return info.used;
}

// Set both bounds to what is used now, garbage included, and `growth` bytes more.
static void count(size_t growth) {
    size_t used = live_bytes();
    used_bound_bytes = used + growth;
    python_bound_bytes = used - tls_used_bytes + (allocating_for_tls ? 0 : growth);
}

// Take into account that `n_bytes` more are about to be live. Counting the heap's blocks takes time in
// proportion to the heap, so it is done only when the bytes used, garbage included, may exceed the peak.
static void note_growth(size_t n_bytes) {
    if (!measuring || gc_is_locked()) {
        return;
    }
    size_t block = MICROPY_BYTES_PER_GC_BLOCK;
    size_t growth = (n_bytes + block - 1) / block * block;
    used_bound_bytes += growth;
    if (!allocating_for_tls) {
        python_bound_bytes += growth;
    }
    if (used_bound_bytes <= heap_peak_bytes && python_bound_bytes <= python_peak_bytes) {
        return;
    }
    count(growth);
    if ((used_bound_bytes > heap_peak_bytes || python_bound_bytes > python_peak_bytes)
        && MP_STATE_MEM(gc_auto_collect_enabled)) {
        gc_collect();
        count(growth);
    }
    if (used_bound_bytes > heap_peak_bytes) {
        heap_peak_bytes = used_bound_bytes;
    }
    if (python_bound_bytes > python_peak_bytes) {
        python_peak_bytes = python_bound_bytes;
    }
}

void *__wrap_gc_alloc(size_t n_bytes, unsigned int alloc_flags) {
    note_growth(n_bytes);
    return __real_gc_alloc(n_bytes, alloc_flags);
}

// Counts growth in place. A block that moves while it grows is live twice for a moment, which is
// not known before; the correction below comes after the move, without a collection.
void *__wrap_gc_realloc(void *ptr, size_t n_bytes, bool allow_move) {
    size_t old_bytes = ptr == NULL ? 0 : gc_nbytes(ptr);
    if (n_bytes > old_bytes) {
        note_growth(n_bytes - old_bytes);
    }
    void *moved = __real_gc_realloc(ptr, n_bytes, allow_move);
    if (measuring && ptr != NULL && moved != NULL && moved != ptr) {
        size_t both_bytes = live_bytes() + old_bytes;
        if (both_bytes > heap_peak_bytes) {
            heap_peak_bytes = both_bytes;
        }
    }
    return moved;
}

// Mbed TLS sees the address behind the two list pointers that m_tracked_calloc keeps (py/malloc.c).
static size_t tracked_bytes(void *ptr) {
    return gc_nbytes((void **)ptr - 2);
}

void *__wrap_m_tracked_calloc(size_t nmemb, size_t size) {
    allocating_for_tls = true;
    void *ptr = __real_m_tracked_calloc(nmemb, size);
    allocating_for_tls = false;
    if (ptr != NULL) {
        tls_used_bytes += tracked_bytes(ptr);
        if (measuring && tls_used_bytes > tls_peak_bytes) {
            tls_peak_bytes = tls_used_bytes;
        }
    }
    return ptr;
}

void __wrap_m_tracked_free(void *ptr) {
    if (ptr != NULL) {
        tls_used_bytes -= tracked_bytes(ptr);
    }
    __real_m_tracked_free(ptr);
}

static mp_obj_t heap_peak_start(void) {
    gc_collect();
    heap_peak_bytes = used_bound_bytes = live_bytes();
    python_peak_bytes = python_bound_bytes = used_bound_bytes - tls_used_bytes;
    tls_peak_bytes = tls_used_bytes;
    measuring = true;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_start_obj, heap_peak_start);

static mp_obj_t heap_peak_stop(void) {
    measuring = false;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_stop_obj, heap_peak_stop);

static mp_obj_t heap_peak_peak(void) {
    return mp_obj_new_int_from_uint(heap_peak_bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_peak_obj, heap_peak_peak);

static mp_obj_t heap_peak_python_peak(void) {
    return mp_obj_new_int_from_uint(python_peak_bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_python_peak_obj, heap_peak_python_peak);

static mp_obj_t heap_peak_tls_peak(void) {
    return mp_obj_new_int_from_uint(tls_peak_bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_tls_peak_obj, heap_peak_tls_peak);

static mp_obj_t heap_peak_tls_used(void) {
    return mp_obj_new_int_from_uint(tls_used_bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_0(heap_peak_tls_used_obj, heap_peak_tls_used);

static const mp_rom_map_elem_t heap_peak_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_heap_peak) },
    { MP_ROM_QSTR(MP_QSTR_start), MP_ROM_PTR(&heap_peak_start_obj) },
    { MP_ROM_QSTR(MP_QSTR_stop), MP_ROM_PTR(&heap_peak_stop_obj) },
    { MP_ROM_QSTR(MP_QSTR_peak), MP_ROM_PTR(&heap_peak_peak_obj) },
    { MP_ROM_QSTR(MP_QSTR_python_peak), MP_ROM_PTR(&heap_peak_python_peak_obj) },
    { MP_ROM_QSTR(MP_QSTR_tls_peak), MP_ROM_PTR(&heap_peak_tls_peak_obj) },
    { MP_ROM_QSTR(MP_QSTR_tls_used), MP_ROM_PTR(&heap_peak_tls_used_obj) },
};
static MP_DEFINE_CONST_DICT(heap_peak_globals, heap_peak_globals_table);

const mp_obj_module_t heap_peak_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&heap_peak_globals,
};
MP_REGISTER_MODULE(MP_QSTR_heap_peak, heap_peak_module);
