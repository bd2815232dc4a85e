//! The values of a batch while several threads write them.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;

/// Memory for the images of a batch, divided into slots of one image each.
pub(super) struct Canvas {
    values: UnsafeCell<Vec<f32>>,
    /// The beginning of the memory of `values`, which stays where it is until `take`.
    start: *mut f32,
    slots: usize,
    each: usize,
}

// SAFETY: threads get at the values through `slot` and `take` alone, whose callers see to it that no
// two of them have the same values at once.
unsafe impl Sync for Canvas {}
// SAFETY: `start` points into the memory that this type owns.
unsafe impl Send for Canvas {}

impl Canvas {
    /// `slots` times `each` values, in the memory of `spare` if that is large enough. What they are
    /// is not said: each slot has to be filled.
    pub(super) fn new(spare: Option<Vec<f32>>, slots: usize, each: usize) -> Self {
        let count = slots * each;
        let mut values = match spare {
            Some(mut spare) if spare.capacity() >= count => {
                spare.resize(count, 0.0);
                spare
            }
            // Fresh memory comes from the system as zeros, which costs nothing.
            _ => vec![0.0; count],
        };
        Self { start: values.as_mut_ptr(), values: UnsafeCell::new(values), slots, each }
    }

    /// The values of one slot.
    ///
    /// # Safety
    /// While they are borrowed no other thread may have the same slot, and `take` may not be called.
    #[expect(clippy::mut_from_ref, reason = "the caller answers for the slot being its own")]
    pub(super) unsafe fn slot(&self, slot: usize) -> &mut [f32] {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        // SAFETY: the slot lies within the memory of `values`, and is the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(slot * self.each), self.each) }
    }

    /// All values. Afterwards there are none.
    ///
    /// # Safety
    /// No slot may be borrowed any more, or be borrowed later.
    pub(super) unsafe fn take(&self) -> Vec<f32> {
        // SAFETY: by the caller's word no other thread has any of it.
        let values = ManuallyDrop::new(std::mem::take(unsafe { &mut *self.values.get() }));
        // SAFETY: these are the parts of the vector, which is not dropped; by way of `start`, through
        // which the values were written.
        unsafe { Vec::from_raw_parts(self.start, values.len(), values.capacity()) }
    }
}
