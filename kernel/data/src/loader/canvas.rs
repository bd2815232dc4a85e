//! The memory of a batch while several threads write to it.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;

/// Memory for the images of a batch, divided into slots of one image each.
pub(super) struct Canvas {
    values: UnsafeCell<Vec<f32>>,
    /// The start of the memory of `values`, which does not move until `take`.
    start: *mut f32,
    slots: usize,
    each: usize,
}

// SAFETY: threads access the values only through `slot` and `take`, whose callers ensure that no
// two threads have the same values at once.
unsafe impl Sync for Canvas {}
// SAFETY: `start` points into the memory that this type owns.
unsafe impl Send for Canvas {}

impl Canvas {
    /// `slots` times `each` values, in the memory of `spare` if it is large enough. The values are unspecified, so each
    /// slot must be filled.
    pub(super) fn new(spare: Option<Vec<f32>>, slots: usize, each: usize) -> Self {
        let count = slots * each;
        let mut values = match spare {
            Some(mut spare) if spare.capacity() >= count => {
                spare.resize(count, 0.0);
                spare
            }
            // New memory from the system is already zero.
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
        // SAFETY: the slot is inside the memory of `values`, and only the caller uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(slot * self.each), self.each) }
    }

    /// Takes all values, which leaves none.
    ///
    /// # Safety
    /// No slot may be borrowed any more, or be borrowed later.
    pub(super) unsafe fn take(&self) -> Vec<f32> {
        // SAFETY: the caller guarantees that no other thread uses the memory.
        let values = ManuallyDrop::new(std::mem::take(unsafe { &mut *self.values.get() }));
        // SAFETY: these are the parts of the vector, which is not dropped; the values were written
        // through `start`.
        unsafe { Vec::from_raw_parts(self.start, values.len(), values.capacity()) }
    }
}
