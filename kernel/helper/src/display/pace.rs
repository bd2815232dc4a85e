//! Limits updates to a rate that a front end can draw: a loop may send millions.

use super::Bundle;
use benchbook_frames::Message;
use std::collections::HashMap;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two updates of one output.
const PAUSE: Duration = Duration::from_millis(100);

/// The recently updated outputs by id.
static OUTPUTS: LazyLock<Mutex<HashMap<String, Output>>> = LazyLock::new(Mutex::default);
/// Tells [`deliver`] that an update waits.
static WAITS: Condvar = Condvar::new();
/// Whether the thread of [`deliver`] runs.
static DELIVERING: LazyLock<bool> =
    LazyLock::new(|| std::thread::Builder::new().name("updates".into()).spawn(deliver).is_ok());

struct Output {
    /// When the latest update was sent.
    sent: Instant,
    /// A newer update, not sent yet.
    waiting: Option<Bundle>,
}

pub(super) fn update(id: &str, bundle: Bundle) {
    let mut outputs = lock();
    match outputs.get_mut(id) {
        Some(output) if output.sent.elapsed() < PAUSE && *DELIVERING => {
            output.waiting = Some(bundle);
            WAITS.notify_one();
        }
        _ => leave(&mut outputs, id, bundle),
    }
}

pub(super) fn update_now(id: &str, bundle: Bundle) {
    leave(&mut lock(), id, bundle);
}

/// Sends every waiting update, before the cell ends or asks the user.
pub(crate) fn send_waiting() {
    let outputs = std::mem::take(&mut *lock());
    for (id, output) in outputs {
        if let Some(bundle) = output.waiting {
            send(&id, bundle);
        }
    }
}

/// Sends each waiting update when its pause is over.
fn deliver() {
    let mut outputs = lock();
    loop {
        let due = |output: &Output| output.waiting.as_ref().map(|_| output.sent + PAUSE);
        outputs = match outputs.values().filter_map(due).min() {
            None => WAITS.wait(outputs).unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let left = due.saturating_duration_since(Instant::now());
                WAITS.wait_timeout(outputs, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        outputs.retain(|id, output| {
            if output.sent.elapsed() < PAUSE {
                return true;
            }
            let Some(bundle) = output.waiting.take() else { return false };
            output.sent = Instant::now();
            send(id, bundle);
            true
        });
    }
}

/// Sends an update under the lock, which keeps the updates of an output in order.
fn leave(outputs: &mut HashMap<String, Output>, id: &str, bundle: Bundle) {
    outputs.insert(id.to_owned(), Output { sent: Instant::now(), waiting: None });
    send(id, bundle);
}

fn send(id: &str, bundle: Bundle) {
    crate::worker::send(Message::Update { bundle, display_id: id.to_owned() });
}

fn lock() -> MutexGuard<'static, HashMap<String, Output>> {
    OUTPUTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(id: &str) -> Option<Bundle> {
        lock().get(id).and_then(|output| output.waiting.clone())
    }

    #[test]
    fn the_first_update_leaves_at_once_and_of_the_next_the_newest_waits() {
        for step in 0..100 {
            update("pace", Bundle::text(step.to_string()));
            // On a slow machine the pause may end in between; then one more update is sent.
            let newest = waiting("pace");
            assert!(newest.is_none_or(|bundle| bundle.plain() == step.to_string()));
        }
        update_now("pace", Bundle::text("end"));
        assert_eq!(waiting("pace"), None, "what must not be skipped replaces what waits");
    }
}
