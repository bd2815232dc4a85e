//! The messages between the worker, where cells run, and the server, which talks to Jupyter.
//!
//! A frame is a length (`u32`, little endian, of what follows), a kind (one byte) and a payload.
//! Prints are carried as raw bytes, so that partial lines, `\r` and invalid UTF-8
//! arrive as they were written; everything else is JSON. One connection carries one worker's
//! frames in order. The connection is a Unix socket of its own, so no
//! print can be mistaken for a frame.

use benchbook_display::Bundle;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Maximum length of a frame, in bytes. [`Frame::write_to`] splits longer prints.
pub const MAX_FRAME: usize = 1 << 30;

/// The environment variable with the path of the server's socket.
pub const SOCKET_VARIABLE: &str = "BENCHBOOK_FRAMES";

/// The stream of printed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A frame from the worker to the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Printed bytes.
    Print(Stream, Vec<u8>),
    /// A message other than printed bytes.
    Message(Message),
}

/// A message from the worker to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// A rich output in the middle of a cell. With an id it can be updated later.
    Display {
        /// The content.
        bundle: Bundle,
        /// The id that [`Message::Update`] refers to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
    },
    /// Replaces the content of every output with this id.
    Update {
        /// The new content.
        bundle: Bundle,
        /// The id given to [`Message::Display`].
        display_id: String,
    },
    /// The value of the cell's last expression.
    Result {
        /// The content.
        bundle: Bundle,
    },
    /// Clears the outputs of the cell.
    Clear {
        /// Keep them until the next output arrives, so that nothing flickers.
        wait: bool,
    },
    /// The cell failed: a panic, a `?` on an error, an interrupt.
    Error {
        /// The kind of failure, for example `Panic`, `KeyboardInterrupt` or the error's type.
        ename: String,
        /// The message.
        evalue: String,
        /// Where it happened, one line each.
        traceback: Vec<String>,
    },
    /// The main thread panicked. The cell may still catch the panic. The message is sent at once because
    /// the process may abort next.
    Panicked {
        /// The message.
        message: String,
        /// Where it happened, one line each.
        traceback: Vec<String>,
    },
    /// Another thread panicked. The cell itself has not failed.
    ThreadPanicked {
        /// The thread's name, if it has one.
        thread: Option<String>,
        /// The message.
        message: String,
        /// Where it happened, one line each.
        traceback: Vec<String>,
        /// Whether the newest cell's code started the thread, not an earlier cell's.
        newest: bool,
    },
    /// The cell failed before it moved this variable or bound its name again. The store still has the
    /// variable, although evcxr considers it gone.
    Kept {
        /// The variable's name.
        name: String,
        /// Whether it was bound with `mut`.
        mutable: bool,
    },
    /// A model was written to a file, from which it can be loaded if the worker dies.
    Checkpoint {
        /// The absolute path.
        path: String,
    },
    /// The cell requests a line of text from the user. The server replies with [`Answer`].
    Input {
        /// The prompt.
        prompt: String,
        /// Whether the typed text is hidden.
        password: bool,
    },
    /// The worker has loaded the helper library and waits for cells.
    Ready {
        /// Repeated in [`Message::Started`] and [`Message::Done`]. User code does not know it.
        token: String,
    },
    /// A cell has been compiled and begins to run.
    Started {
        /// The token of [`Message::Ready`].
        token: String,
    },
    /// The value of the cell's last expression is about to be displayed. Prints between evcxr's markers are
    /// the result.
    Showing,
    /// Every frame of the running cell has been sent.
    Done {
        /// The token of [`Message::Ready`].
        token: String,
    },
}

/// The server's answer to [`Message::Input`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The typed line without its line end, or the reason that there is none.
    pub line: Result<String, String>,
}

const PRINT_STDOUT: u8 = 1;
const PRINT_STDERR: u8 = 2;
const MESSAGE: u8 = 3;

impl Frame {
    /// Writes the frame. The caller must exclude other writers.
    ///
    /// # Errors
    /// A message longer than [`MAX_FRAME`], or an error of the writer.
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        let (kind, bytes) = match self {
            Frame::Print(Stream::Stdout, bytes) => (PRINT_STDOUT, bytes),
            Frame::Print(Stream::Stderr, bytes) => (PRINT_STDERR, bytes),
            Frame::Message(message) => {
                let json = serde_json::to_vec(message)?;
                if json.len() >= MAX_FRAME {
                    return Err(invalid(format!(
                        "an output of {} bytes is too large to be shown, and at most {MAX_FRAME} are \
                         taken; write it to a file",
                        json.len()
                    )));
                }
                return write_one(writer, MESSAGE, &json);
            }
        };
        if bytes.is_empty() {
            return write_one(writer, kind, bytes);
        }
        bytes.chunks(MAX_FRAME - 1).try_for_each(|chunk| write_one(writer, kind, chunk))
    }

    /// Reads the next frame; `None` at the end of the stream, also when it ends within a frame (the
    /// worker was killed while writing).
    ///
    /// # Errors
    /// An unknown kind, a length over [`MAX_FRAME`], JSON that is not a [`Message`], or an error of the
    /// reader.
    pub fn read_from(reader: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        if !filled(reader, &mut head)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(invalid(format!("a frame of {length} bytes; expected 1 to {MAX_FRAME}")));
        }
        let mut payload = vec![0; length - 1];
        if !filled(reader, &mut payload)? {
            return Ok(None);
        }
        match head[4] {
            PRINT_STDOUT => Ok(Some(Frame::Print(Stream::Stdout, payload))),
            PRINT_STDERR => Ok(Some(Frame::Print(Stream::Stderr, payload))),
            MESSAGE => Ok(Some(Frame::Message(serde_json::from_slice(&payload)?))),
            kind => Err(invalid(format!("a frame of kind {kind}; expected 1, 2 or 3"))),
        }
    }
}

/// Writes head and payload at once.
fn write_one(writer: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    // Callers keep the length below MAX_FRAME, which fits into `u32`.
    let length = payload.len() as u32 + 1;
    let mut bytes = Vec::with_capacity(payload.len() + 5);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    writer.write_all(&bytes)
}

/// Fills `buffer`; false if the stream ends first.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Print(Stream::Stdout, b"half a line".to_vec()),
            Frame::Print(Stream::Stderr, vec![0xff, b'\r', 0]),
            Frame::Print(Stream::Stdout, Vec::new()),
            Frame::Message(Message::Display {
                bundle: Bundle::text("two\nlines").html("<b>&</b>"),
                display_id: Some("d1".into()),
            }),
            Frame::Message(Message::Done { token: "t".into() }),
        ]
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let mut bytes = Vec::new();
        for frame in frames() {
            frame.write_to(&mut bytes).unwrap();
        }
        let mut reader = bytes.as_slice();
        for frame in frames() {
            assert_eq!(Frame::read_from(&mut reader).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read_from(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_stream_cut_within_a_frame_ends_without_it() {
        let mut bytes = Vec::new();
        frames()[3].write_to(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            assert_eq!(Frame::read_from(&mut &bytes[..length]).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [&[0, 0, 0, 0, 3][..], &[2, 0, 0, 0, 9, 1], &[2, 0, 0, 0, 3, b'x'], &[0xff; 5]]
        {
            assert!(Frame::read_from(&mut &*bytes).is_err());
        }
    }
}
