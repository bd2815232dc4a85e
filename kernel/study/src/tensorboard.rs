//! Writes event files for TensorBoard, TFRecords of `Event` messages, without TensorFlow.
//!
//! The formats are TensorFlow's: `core/lib/io/record_writer.h` for the framing of records, `core/util/event.proto` and
//! `core/framework/summary.proto` for its content.

use crate::error::Error;
use crate::files::write_atomically;
use crate::record::{Epoch, Record};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes an event file to `folder`, which TensorBoard shows as one run. Each epoch has the scalars `loss`,
/// `accuracy`, `val_loss`, `val_accuracy`, `learning_rate` and `seconds` (the epoch with its validation and callbacks),
/// with the epoch's number as step. Values that are not stated have no scalar. `started` is the start of the training, in
/// seconds since 1970. A second call replaces the file. Returns the file.
///
/// # Errors
/// [`Error::File`].
pub fn write_events(folder: &Path, started: f64, epochs: &[Epoch]) -> Result<PathBuf, Error> {
    let path = folder.join(format!("events.out.tfevents.{:010.0}.benchbook", started.floor()));
    let version = Message::default().double(1, started).bytes(3, b"brain.Event:2");
    let mut file = record(&version.0);
    let mut time = started;
    for epoch in epochs {
        let seconds = epoch.training_seconds + epoch.validation_seconds + epoch.callback_seconds;
        time += seconds;
        let scalars = [
            ("loss", Some(epoch.loss)),
            ("accuracy", Some(epoch.accuracy)),
            ("val_loss", epoch.val_loss),
            ("val_accuracy", epoch.val_accuracy),
            ("learning_rate", epoch.learning_rate),
            ("seconds", Some(seconds)),
        ];
        let mut summary = Message::default();
        for (tag, value) in scalars {
            if let Some(value) = value {
                let scalar = Message::default().bytes(1, tag.as_bytes()).float(2, value as f32);
                summary = summary.bytes(1, &scalar.0);
            }
        }
        let event = Message::default().double(1, time).integer(2, epoch.epoch as u64);
        file.extend(record(&event.bytes(5, &summary.0).0));
    }
    write_atomically(&path, |to| to.write_all(&file)).map_err(|source| Error::File {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

impl Record {
    /// Writes the epochs to an event file in `folder` ([`write_events`]). Its times begin at the end of the phases `load` and
    /// `build`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_events(&self, folder: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let before = self.phases.load.unwrap_or(0.0) + self.phases.build.unwrap_or(0.0);
        write_events(folder.as_ref(), self.started as f64 + before, &self.epochs)
    }
}

/// A message in the wire format of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn field(mut self, number: u64, wire_type: u64, value: &[u8]) -> Self {
        self.varint((number << 3) | wire_type);
        self.0.extend(value);
        self
    }

    fn integer(self, number: u64, value: u64) -> Self {
        let mut this = self.field(number, 0, &[]);
        this.varint(value);
        this
    }

    fn double(self, number: u64, value: f64) -> Self {
        self.field(number, 1, &value.to_le_bytes())
    }

    fn float(self, number: u64, value: f32) -> Self {
        self.field(number, 5, &value.to_le_bytes())
    }

    fn bytes(self, number: u64, value: &[u8]) -> Self {
        let mut this = self.field(number, 2, &[]);
        this.varint(value.len() as u64);
        this.0.extend(value);
        this
    }
}

/// A TFRecord: the length and the data, each with its masked checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let sum = |bytes: &[u8]| masked(crc32c(bytes)).to_le_bytes();
    [&length[..], &sum(&length), data, &sum(data)].concat()
}

/// TensorFlow's masking, since a CRC of data that contain CRCs is weak.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit, since an event file has only some hundred bytes per epoch.
fn crc32c(bytes: &[u8]) -> u32 {
    /// Castagnoli's polynomial, the lowest bit first.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    };
    !bytes.iter().fold(u32::MAX, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// What TensorFlow 2.21 writes for the same event, by
    /// `tf.io.TFRecordWriter(path).write(Event(wall_time=7.0, file_version="brain.Event:2").SerializeToString())`.
    #[test]
    fn a_file_begins_as_tensorflow_begins_it_and_has_a_record_an_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let epoch = |epoch, val_loss| Epoch { epoch, val_loss, ..Epoch::default() };
        let epochs = [epoch(1, None), epoch(300, Some(f64::NAN))];
        let path = write_events(&folder.path().join("deep/run"), 7.0, &epochs).unwrap();
        assert!(path.ends_with("deep/run/events.out.tfevents.0000000007.benchbook"), "{path:?}");
        let bytes = std::fs::read(&path).unwrap();
        let hexadecimal = crate::record::hexadecimal(&bytes[..40]);
        assert_eq!(hexadecimal, FIRST_RECORD);
        let (mut rest, mut records) = (&bytes[..], 0);
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            (rest, records) = (&rest[length + 16..], records + 1);
        }
        assert_eq!(records, 3);
        // Step 300 takes two bytes of seven bits.
        assert!(bytes.windows(3).any(|part| part == [0x10, 0xac, 0x02]));
        assert_eq!(bytes.windows(8).filter(|part| part == b"val_loss").count(), 1);
    }

    const FIRST_RECORD: &str =
        "1800000000000000a37f4b22090000000000001c401a0d627261696e2e4576656e743a32dd6b7c28";
}
