//! Taking a validation split from the training pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::seed::{Purpose, generator};

type Classes = BTreeMap<String, Vec<PathBuf>>;

/// Divides each class alike (stratified), so that the share of each class, and with it the accuracy
/// of guessing, is the same on both sides: 12,500 cats and 12,500 dogs become 2,674 of each for
/// validation, together the report's 5,348. Every class keeps at least one picture on each side.
pub(super) fn divide(
    path: &Path,
    classes: &Classes,
    fraction: f64,
    seed: u64,
) -> Result<(Classes, Classes), DataError> {
    let (mut kept, mut taken) = (Classes::new(), Classes::new());
    for (number, (class, files)) in classes.iter().enumerate() {
        if files.len() < 2 {
            return Err(DataError::PartMissing {
                path: path.into(),
                expected: format!(
                    "at least 2 pictures of the class {class} to divide into training and \
                     validation"
                ),
                found: files.len().to_string(),
            });
        }
        let wanted = (files.len() as f64 * fraction).round() as usize;
        let count = wanted.clamp(1, files.len() - 1);
        let mut random = generator(Purpose::Split, seed, 0, number as u64);
        let mut chosen = vec![false; files.len()];
        for index in rand::seq::index::sample(&mut random, files.len(), count) {
            chosen[index] = true;
        }
        let (mut stay, mut leave) = (Vec::new(), Vec::new());
        for (file, chosen) in files.iter().zip(chosen) {
            if chosen { leave.push(file.clone()) } else { stay.push(file.clone()) }
        }
        kept.insert(class.clone(), stay);
        taken.insert(class.clone(), leave);
    }
    Ok((kept, taken))
}
