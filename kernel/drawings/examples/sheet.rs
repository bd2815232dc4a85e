//! Draws a sheet of the first training images, the classes taking turns, to look at.
//!
//! `cargo run --release -p benchbook-drawings --example sheet -- sheet.png [SEED] [CLASSES]`

use benchbook_drawings::{Frame, Picture, Split};
use image::{Rgb, RgbImage, imageops};

const COLUMNS: u32 = 10;
const ROWS: u32 = 4;
const SIDE: u32 = 148;
const GAP: u32 = 8;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "sheet.png".to_owned());
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let classes = arguments.next().map_or(Ok(2), |classes| classes.parse())?;
    let cell = SIDE + GAP;
    let white = Rgb([255; 3]);
    let mut sheet = RgbImage::from_pixel(COLUMNS * cell + GAP, ROWS * cell + GAP, white);
    for index in 0..COLUMNS * ROWS {
        let picture = Picture { seed, split: Split::Train, index, classes };
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        let place = (i64::from(column * cell + GAP), i64::from(row * cell + GAP));
        imageops::replace(&mut sheet, &picture.draw(Frame::Square(SIDE)), place.0, place.1);
    }
    sheet.save(path)?;
    Ok(())
}
