//! Images of the `image` crate show themselves as PNG.

use crate::{Bundle, Rich};
use image::{DynamicImage, ImageFormat, RgbImage};
use std::io::Cursor;

impl Rich for DynamicImage {
    fn bundle(&self) -> Bundle {
        let text =
            format!("image of {} × {} pixels, {:?}", self.width(), self.height(), self.color());
        let mut png = Cursor::new(Vec::new());
        match self.write_to(&mut png, ImageFormat::Png) {
            Ok(()) => Bundle::text(text).png(&png.into_inner()),
            Err(error) => Bundle::text(format!("{text}; it cannot be shown: {error}")),
        }
    }
}

impl Rich for RgbImage {
    fn bundle(&self) -> Bundle {
        DynamicImage::ImageRgb8(self.clone()).bundle()
    }
}
