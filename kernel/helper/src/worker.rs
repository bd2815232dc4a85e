//! The worker's side of the frames.

use benchbook_frames::Message;

/// Sends a message to the server; outside a worker its plain text goes to standard output.
pub fn send(message: Message) {
    if let Message::Display { bundle, .. } | Message::Result { bundle } = &message {
        println!("{}", bundle.plain());
    }
}
