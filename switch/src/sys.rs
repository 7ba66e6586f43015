//! The system calls and processor instructions that have no safe face elsewhere. Everything in
//! here is safe to call.
#![allow(unsafe_code)]

/// Asks the processor to fetch the cache line in which `place` begins. A hint: nothing is read.
#[inline]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: PREFETCHT0 takes any address and cannot fault; it needs SSE, which every x86-64
        // processor has. The reference is not even followed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
