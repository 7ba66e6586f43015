//! The atomics of the table: those of `std`, and under loom those of loom, made to be explored.
//!
//! loom decides which orders of accesses are worth a try by looking, at each access, for the last
//! one to the same atomic that conflicts with it. But it remembers one access only, and a thread's
//! own load hides another's load before it: "load, then swap" in one thread and "load" in the
//! other are tried in one order and not in the other, and deliberate mistakes in this table went
//! unnoticed. So each access here is preceded by one to a mark that conflicts with every other.
//! Being relaxed, it orders nothing: what a load may return is left to loom's memory model.

#[cfg(loom)]
pub(crate) use explored::*;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::*;

#[cfg(loom)]
#[allow(dead_code)] // Each type has what one of them needs.
mod explored {
    pub(crate) use loom::sync::atomic::{Ordering, fence};

    macro_rules! explored {
        ($name:ident, $number:ty) => {
            pub(crate) struct $name {
                value: loom::sync::atomic::$name,
                mark: loom::sync::atomic::AtomicU8,
            }

            impl $name {
                pub(crate) fn new(value: $number) -> $name {
                    let mark = loom::sync::atomic::AtomicU8::new(0);
                    $name { value: loom::sync::atomic::$name::new(value), mark }
                }

                fn value(&self) -> &loom::sync::atomic::$name {
                    self.mark.swap(0, Ordering::Relaxed);
                    &self.value
                }

                pub(crate) fn load(&self, order: Ordering) -> $number {
                    self.value().load(order)
                }

                pub(crate) fn store(&self, value: $number, order: Ordering) {
                    self.value().store(value, order);
                }

                pub(crate) fn compare_exchange(
                    &self,
                    old: $number,
                    new: $number,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$number, $number> {
                    self.value().compare_exchange(old, new, success, failure)
                }

                pub(crate) fn fetch_add(&self, number: $number, order: Ordering) -> $number {
                    self.value().fetch_add(number, order)
                }

                pub(crate) fn fetch_sub(&self, number: $number, order: Ordering) -> $number {
                    self.value().fetch_sub(number, order)
                }

                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($number) -> Option<$number>,
                ) -> Result<$number, $number> {
                    self.value().fetch_update(set, fetch, update)
                }
            }

            impl Default for $name {
                fn default() -> $name {
                    $name::new(0)
                }
            }
        };
    }

    explored!(AtomicI32, i32);
    explored!(AtomicU32, u32);
    explored!(AtomicU64, u64);
}
