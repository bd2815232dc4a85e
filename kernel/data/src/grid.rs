//! Grids of thumbnails with captions.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use benchbook_display::{Bundle, Rich, escape};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use crate::decode::{DEFAULT_MAX_PIXELS, Picture};
use crate::error::DataError;
use crate::resize::{Filter, Resize};

/// A small JPEG of an image: width and height in pixels, and the file.
#[derive(Clone, Debug)]
struct Thumbnail {
    width: u32,
    height: u32,
    jpeg: Vec<u8>,
}

impl Thumbnail {
    /// Fits an image into a square of `side` pixels, keeping its aspect ratio. A smaller image
    /// keeps its size.
    fn of(picture: Picture, side: u32) -> Result<Self, DataError> {
        let longest = f64::from(picture.width.max(picture.height).max(1));
        let factor = (f64::from(side.max(1)) / longest).min(1.0);
        let scale = |length: u32| ((f64::from(length) * factor).round() as usize).max(1);
        let (height, width) = (scale(picture.height), scale(picture.width));
        let small = Resize { height, width, filter: Filter::Bilinear }.apply(picture);
        let (width, height) = (small.width, small.height);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 85)
            .encode(&small.rgb, width, height, ExtendedColorType::Rgb8)
            .map_err(|source| DataError::Encode { width, height, source })?;
        Ok(Self { width, height, jpeg })
    }

    /// The image as a `data:` address for HTML.
    fn data_uri(&self) -> String {
        format!("data:image/jpeg;base64,{}", STANDARD.encode(&self.jpeg))
    }
}

/// A grid of thumbnails with captions, as HTML and as text.
#[derive(Clone, Debug, Default)]
pub struct PictureGrid {
    cells: Vec<Cell>,
}

#[derive(Clone, Debug)]
struct Cell {
    title: String,
    caption: String,
    picture: Result<Thumbnail, String>,
}

/// The longest side of an image in a grid, in CSS pixels.
const SIDE: u32 = 112;

impl PictureGrid {
    /// A grid without images.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with a caption. For an unusable file, the grid shows the reason instead of an error.
    pub fn with(self, path: &Path, caption: impl Into<String>) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        self.with_picture(name, Picture::open(path, DEFAULT_MAX_PIXELS), caption)
    }

    /// Adds an image, or the reason why it cannot be used, with a title for its tooltip and a caption.
    pub fn with_picture(
        mut self,
        title: impl Into<String>,
        picture: Result<Picture, DataError>,
        caption: impl Into<String>,
    ) -> Self {
        // Twice the size on screen, for displays with two pixels per CSS pixel.
        let small = picture.and_then(|picture| Thumbnail::of(picture, SIDE * 2));
        let picture = small.map_err(|error| match error {
            DataError::BadImage { fault, .. } => fault.to_string(),
            error => error.to_string(),
        });
        self.cells.push(Cell { title: title.into(), caption: caption.into(), picture });
        self
    }

    /// The grid as an HTML fragment. It uses the colours of the page, so it is readable in a
    /// light and in a dark theme.
    pub fn html(&self) -> String {
        let cells: String = self.cells.iter().map(Cell::html).collect();
        format!(
            "<div style=\"display:flex;flex-wrap:wrap;gap:10px;align-items:flex-end;\
             margin:6px 0\">{cells}</div>"
        )
    }

    /// One line per image.
    pub fn text(&self) -> String {
        self.cells.iter().map(Cell::text).collect::<Vec<_>>().join("\n")
    }
}

impl Cell {
    fn html(&self) -> String {
        let (title, caption) = (escape(&self.title), escape(&self.caption));
        let picture = match &self.picture {
            Ok(thumbnail) => {
                let longest = thumbnail.width.max(thumbnail.height).max(1);
                let shown = |length: u32| (length * SIDE / longest).max(1);
                format!(
                    "<img src=\"{}\" alt=\"{caption}: {title}\" title=\"{title}\" width=\"{}\" \
                     height=\"{}\" style=\"border-radius:4px;margin:0\">",
                    thumbnail.data_uri(),
                    shown(thumbnail.width),
                    shown(thumbnail.height)
                )
            }
            Err(reason) => format!(
                "<div title=\"{title}\" style=\"width:{SIDE}px;height:{SIDE}px;box-sizing:border-box;\
                 padding:6px;overflow:hidden;border:1px dashed currentColor;border-radius:4px;\
                 font-size:11px\">{title}: {}</div>",
                escape(reason)
            ),
        };
        format!(
            "<figure style=\"margin:0;text-align:center;color:inherit\">{picture}\
             <figcaption style=\"font-size:12px;margin-top:2px\">{caption}</figcaption></figure>"
        )
    }

    fn text(&self) -> String {
        match &self.picture {
            Ok(_) => format!("{}  {}", self.caption, self.title),
            Err(reason) => format!("{}  {} ({reason})", self.caption, self.title),
        }
    }
}

impl Rich for PictureGrid {
    fn bundle(&self) -> Bundle {
        Bundle::text(self.text()).html(self.html())
    }
}
