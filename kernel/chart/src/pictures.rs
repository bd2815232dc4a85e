use std::io::Cursor;

use base64::Engine;
use benchbook_display::{Bundle, Rich, escape};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};
use serde_json::json;

use crate::drawing::{Align, Canvas, Drawing, INK, SOFT, Type};
use crate::error::{Error, Result};
use crate::font;
use crate::palette::Colour;
use crate::plot::{self, Room};

/// A coloured frame and sign for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A correct prediction: blue frame, tick.
    Right,
    /// A wrong prediction: red frame, cross.
    Wrong,
}

impl Mark {
    /// Blue and vermilion differ for every kind of colour vision, unlike green and red.
    fn colour(self) -> Colour {
        match self {
            Self::Right => Colour(0x00, 0x66, 0xb8),
            Self::Wrong => Colour(0xd5, 0x5e, 0x00),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
        }
    }
}

/// One image of a [`PictureGrid`].
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The pixels, of any size.
    pub pixels: RgbImage,
    /// The text under it.
    pub caption: String,
    /// The mark of a right or wrong prediction.
    pub mark: Option<Mark>,
}

/// Images with captions, side by side: samples of a folder, predictions.
///
/// A notebook gets one JPEG of the whole grid, as front ends treat images inside HTML
/// differently, and the captions as text.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureGrid {
    title: String,
    subtitle: String,
    pictures: Vec<Picture>,
    columns: usize,
    tile: u32,
}

/// Space between tiles, and the height of a caption's two lines, in CSS pixels.
const GAP: f32 = 12.0;
const CAPTION: f32 = 36.0;
/// Images are drawn at this many pixels a CSS pixel.
const SHARP: f32 = 2.0;
/// JPEG quality at which text on the card stays clean.
const QUALITY: u8 = 88;

impl PictureGrid {
    /// A grid of at most four columns, each 150 pixels wide, without images.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: String::new(),
            pictures: Vec::new(),
            columns: 4,
            tile: 150,
        }
    }

    /// A line under the title: conditions, machine, scale.
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// Replaces the title.
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Adds an image with the text under it.
    pub fn picture(self, pixels: RgbImage, caption: impl Into<String>) -> Self {
        self.with(Picture { pixels, caption: caption.into(), mark: None })
    }

    /// Adds an image with the text under it, marked as right or wrong.
    pub fn marked(self, pixels: RgbImage, caption: impl Into<String>, mark: Mark) -> Self {
        self.with(Picture { pixels, caption: caption.into(), mark: Some(mark) })
    }

    /// Adds an image.
    pub fn with(mut self, picture: Picture) -> Self {
        self.pictures.push(picture);
        self
    }

    /// The number of images in a row, 1 to 12.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns.clamp(1, 12);
        self
    }

    /// The width and height of a tile, 40 to 600 CSS pixels.
    pub fn tile(mut self, pixels: u32) -> Self {
        self.tile = pixels.clamp(40, 600);
        self
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The images.
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// A description of the grid.
    pub fn alt(&self) -> String {
        let captions: Vec<String> = self.pictures.iter().map(described).collect();
        let unit = if captions.len() == 1 { "image" } else { "images" };
        format!("{}: {} {unit}. {}", self.title, captions.len(), captions.join("; "))
    }

    /// The grid as one image; twice its size in CSS pixels.
    ///
    /// # Errors
    /// [`Error::Size`] if the grid was more than 16384 pixels high.
    pub fn image(&self) -> Result<RgbImage> {
        let columns = self.columns.min(self.pictures.len()).max(1);
        let rows = self.pictures.len().div_ceil(columns);
        let tile = self.tile as f32;
        let width = 2.0 * 16.0 + columns as f32 * (tile + GAP) - GAP;
        let width = width.max(260.0);

        // A trial card measures the height of the title.
        let write_title =
            |card: &Canvas<'_>, room| plot::title(card, room, &self.title, &self.subtitle);
        let (_, (trial, room)) = Drawing::sheet(width as u32, 1000, 0, |card| {
            let room = Room::card(card);
            (room, write_title(card, room))
        });
        let body = (rows as f32 * (tile + CAPTION + GAP) - GAP).max(24.0);
        let places: Vec<(f32, f32)> = (0..self.pictures.len())
            .map(|i| {
                let (column, row) = ((i % columns) as f32, (i / columns) as f32);
                (room.left + column * (tile + GAP), room.top + row * (tile + CAPTION + GAP))
            })
            .collect();
        // JPEG has no transparent corners.
        let height = (room.top + body + 14.0) as u32;
        let (card, ()) = Drawing::sheet(width as u32, height, 0, |card| {
            write_title(card, trial);
            if self.pictures.is_empty() {
                let style = Type::LABEL.in_colour(SOFT);
                card.text(room.left, room.top + 8.0, "no images", Align::Left, style);
            }
            for (picture, place) in self.pictures.iter().zip(&places) {
                caption(card, picture, *place, tile);
            }
        });
        let mut image = opaque(&card)?;
        for (picture, (x, y)) in self.pictures.iter().zip(&places) {
            let frame = if picture.mark.is_some() { 4.0 } else { 0.0 };
            let side = ((tile - 2.0 * frame) * SHARP) as u32;
            let thumbnail = square(&picture.pixels, side);
            let at = |v: f32| ((v + frame) * SHARP) as i64;
            imageops::overlay(&mut image, &thumbnail, at(*x), at(*y));
        }
        Ok(image)
    }

    /// The grid as the bytes of a PNG file.
    ///
    /// # Errors
    /// As [`PictureGrid::image`].
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let written = self.image()?.write_to(&mut bytes, ImageFormat::Png);
        written.map_err(|error| Error::Encode(error.to_string()))?;
        Ok(bytes.into_inner())
    }

    /// The grid as the bytes of a JPEG file.
    ///
    /// # Errors
    /// As [`PictureGrid::image`].
    pub fn jpeg(&self) -> Result<Vec<u8>> {
        jpeg(&self.image()?)
    }

    /// The grid as HTML, each image a thumbnail with its caption.
    ///
    /// # Errors
    /// [`Error::Encode`] when a thumbnail cannot be encoded.
    pub fn to_html(&self) -> Result<String> {
        let mut out = format!(
            "<div style=\"font-weight:600;margin:4px 0\">{}</div>\n\
             <div style=\"display:flex;flex-wrap:wrap;gap:12px\">\n",
            escape(&self.title)
        );
        for picture in &self.pictures {
            let thumbnail = jpeg(&square(&picture.pixels, (self.tile as f32 * SHARP) as u32))?;
            let data = base64::engine::general_purpose::STANDARD.encode(thumbnail);
            let colour = picture.mark.map_or("transparent".to_owned(), |mark| mark.colour().hex());
            out += &format!(
                "<figure style=\"margin:0;width:{tile}px\"><img width=\"{tile}\" height=\"{tile}\" \
                 style=\"border:4px solid {colour};box-sizing:border-box\" alt=\"{alt}\" \
                 src=\"data:image/jpeg;base64,{data}\">\
                 <figcaption style=\"font-size:90%\">{sign}{caption}\
                 </figcaption></figure>\n",
                tile = self.tile,
                alt = escape(&described(picture)),
                sign = match picture.mark {
                    Some(Mark::Right) => "✓ ",
                    Some(Mark::Wrong) => "✗ ",
                    None => "",
                },
                caption = escape(&picture.caption),
            );
        }
        Ok(out + "</div>\n")
    }
}

fn described(picture: &Picture) -> String {
    match picture.mark {
        Some(mark) => format!("{} ({})", picture.caption, mark.word()),
        None => picture.caption.clone(),
    }
}

/// Frame, sign and caption of one tile.
fn caption(card: &Canvas<'_>, picture: &Picture, (x, y): (f32, f32), tile: f32) {
    let style = Type::LABEL;
    let mut left = x;
    if let Some(mark) = picture.mark {
        let colour = mark.colour();
        card.block(x, y, tile, tile, colour);
        let middle = y + tile + 12.0;
        let sign = match mark {
            Mark::Right => {
                vec![(x + 1.0, middle), (x + 4.0, middle + 4.0), (x + 10.0, middle - 4.5)]
            }
            Mark::Wrong => vec![
                (x + 1.5, middle - 4.0),
                (x + 9.5, middle + 4.0),
                (x + 5.5, middle),
                (x + 9.5, middle - 4.0),
                (x + 1.5, middle + 4.0),
            ],
        };
        card.line(&sign, colour, 2.2);
        left += 15.0;
    }
    let room = x + tile - left;
    for (i, line) in
        font::wrap(&picture.caption, style.size, style.weight, room, 2).iter().enumerate()
    {
        card.text(left, y + tile + 12.0 + i as f32 * 15.5, line, Align::Left, style.in_colour(INK));
    }
}

/// The middle of an image as a square of `side` pixels.
fn square(picture: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let edge = width.min(height);
    if edge == 0 {
        return RgbImage::from_pixel(side, side, image::Rgb([200; 3]));
    }
    let middle = imageops::crop_imm(picture, (width - edge) / 2, (height - edge) / 2, edge, edge);
    // Small images (8×8 thumbnails, 32×32 inputs) keep their pixels; photos are smoothed.
    let filter = if edge * 3 < side { FilterType::Nearest } else { FilterType::Triangle };
    imageops::resize(&middle.to_image(), side, side, filter)
}

/// The pixels of a card without transparent corners.
fn opaque(card: &Drawing) -> Result<RgbImage> {
    let pixmap = card.pixmap(SHARP)?;
    let mut image = RgbImage::new(pixmap.width(), pixmap.height());
    for (to, from) in image.pixels_mut().zip(pixmap.pixels()) {
        to.0 = [from.red(), from.green(), from.blue()];
    }
    Ok(image)
}

fn jpeg(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let written = image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY));
    written.map_err(|error| Error::Encode(error.to_string()))?;
    Ok(bytes)
}

impl Rich for PictureGrid {
    fn bundle(&self) -> Bundle {
        let captions = self
            .pictures
            .iter()
            .enumerate()
            .map(|(i, picture)| format!("\n{:>3}  {}", i + 1, described(picture)));
        let text = format!("{}{}", self.title, captions.collect::<String>());
        let drawn = self.image().and_then(|image| Ok((jpeg(&image)?, image)));
        match drawn {
            Ok((bytes, image)) => {
                let mut bundle = Bundle::text(text).jpeg(&bytes);
                let (width, height) = image.dimensions();
                let shown = json!({"width": width / 2, "height": height / 2, "alt": self.alt()});
                bundle.metadata.insert("image/jpeg".into(), shown);
                bundle
            }
            Err(error) => Bundle::text(format!("{text}\n{error}")),
        }
    }
}
