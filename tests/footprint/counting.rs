//! Counts what this process allocates, libtorch included: the C library's allocation functions, which a program may
//! replace, each with a count around it.

use std::{
    ffi::{c_int, c_void},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

static LIVE: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);
const ENOMEM: c_int = 12;

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, size: usize) -> *mut c_void;
    fn __libc_free(pointer: *mut c_void);
    fn malloc_usable_size(pointer: *mut c_void) -> usize;
}

/// The most bytes that were live while `work` ran, beyond those before it.
pub fn most_allocated(work: impl FnOnce()) -> u64 {
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    work();
    (MOST.load(Relaxed) - before) as u64
}

fn size(pointer: *mut c_void) -> i64 {
    // SAFETY: the pointers here are the C library's own, or null, which has no size.
    unsafe { malloc_usable_size(pointer) as i64 }
}

fn counted(pointer: *mut c_void) -> *mut c_void {
    let live = LIVE.fetch_add(size(pointer), Relaxed) + size(pointer);
    MOST.fetch_max(live, Relaxed);
    pointer
}

fn discounted(pointer: *mut c_void) -> *mut c_void {
    LIVE.fetch_sub(size(pointer), Relaxed);
    pointer
}

// SAFETY of all below: each hands its arguments to the C library's own function of the same contract.

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    counted(unsafe { __libc_malloc(size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    counted(unsafe { __libc_calloc(count, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    let before = self::size(pointer);
    let moved = unsafe { __libc_realloc(pointer, size) };
    if moved.is_null() && size > 0 {
        return moved;
    }
    LIVE.fetch_sub(before, Relaxed);
    counted(moved)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    counted(unsafe { __libc_memalign(alignment, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    counted(unsafe { __libc_memalign(alignment, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    let pointer = counted(unsafe { __libc_memalign(alignment, size) });
    if pointer.is_null() {
        return ENOMEM;
    }
    unsafe { *place = pointer };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(pointer: *mut c_void) {
    unsafe { __libc_free(discounted(pointer)) }
}
