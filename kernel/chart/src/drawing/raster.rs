//! SVG as pixels. Roboto is always loaded; the machine's fonts, which may be hundreds, are read when a text first has a
//! character that Roboto lacks.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{FontResolver, Options, Tree, fontdb};

use super::Drawing;
use crate::error::{Error, Result};
use crate::font;

/// Longest side of an image, in pixels.
const LONGEST: f32 = 16384.0;

static ROBOTO: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for bytes in [font::REGULAR, font::MEDIUM] {
        fonts.load_font_data(bytes.to_vec());
    }
    Arc::new(fonts)
});

/// Roboto, the machine's fonts and those of [`add_fonts`].
static ALL: LazyLock<Mutex<Arc<fontdb::Database>>> = LazyLock::new(|| {
    let mut machine = fontdb::Database::new();
    machine.load_system_fonts();
    Mutex::new(Arc::new(with(&machine, ROBOTO.as_ref().clone())))
});

/// Adds fonts, upright and regular faces first: the first font with a character is used.
fn with(more: &fontdb::Database, mut fonts: fontdb::Database) -> fontdb::Database {
    let mut faces: Vec<_> = more.faces().cloned().collect();
    faces.sort_by_key(|face| (face.style != fontdb::Style::Normal, face.weight.0.abs_diff(400)));
    for face in faces {
        fonts.push_face_info(face);
    }
    fonts
}

/// Adds the fonts of a file or folder to charts drawn as PNG, for scripts that no font of the machine has. An
/// SVG uses the fonts of its page.
///
/// # Errors
/// [`Error::Font`] if there is no font.
pub fn add_fonts(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let refused = |why: String| Err(Error::Font { path: path.to_owned(), why });
    let mut fonts = fontdb::Database::new();
    if path.is_dir() {
        fonts.load_fonts_dir(path);
    } else if let Err(error) = fonts.load_font_file(path) {
        return refused(error.to_string());
    }
    if fonts.is_empty() {
        return refused("no TrueType or OpenType font in it".to_owned());
    }
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    *all = Arc::new(with(&fonts, all.as_ref().clone()));
    Ok(())
}

/// The SVG with its texts laid out.
fn tree(drawing: &Drawing) -> Result<Tree> {
    let fallback = FontResolver::default_fallback_selector();
    let options = Options {
        fontdb: Arc::clone(&ROBOTO),
        font_resolver: FontResolver {
            select_font: FontResolver::default_font_selector(),
            select_fallback: Box::new(move |character, used, fonts| {
                if fonts.len() == ROBOTO.len() {
                    // `ALL` begins with the fonts of `ROBOTO`, so ids in use stay valid.
                    *fonts = Arc::clone(&ALL.lock().unwrap_or_else(PoisonError::into_inner));
                }
                fallback(character, used, fonts)
            }),
        },
        ..Options::default()
    };
    Tree::from_str(&drawing.svg("", ""), &options).map_err(|error| Error::Encode(error.to_string()))
}

pub(super) fn render(drawing: &Drawing, scale: f32) -> Result<Pixmap> {
    let (width, height) = (drawing.width, drawing.height);
    let refused = || Error::Size { width, height, scale };
    let side = |pixels: u32| {
        let scaled = (pixels as f32 * scale).round();
        (1.0..=LONGEST).contains(&scaled).then_some(scaled as u32)
    };
    let (w, h) = (side(width).ok_or_else(refused)?, side(height).ok_or_else(refused)?);
    let mut pixmap = Pixmap::new(w, h).ok_or_else(refused)?;
    resvg::render(&tree(drawing)?, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    Ok(pixmap)
}

#[cfg(test)]
pub(super) fn text_boxes(drawing: &Drawing) -> Vec<(String, [f32; 4])> {
    use resvg::usvg::{Group, Node};

    fn collect(group: &Group, out: &mut Vec<(String, [f32; 4])>) {
        for node in group.children() {
            match node {
                Node::Group(group) => collect(group, out),
                Node::Text(text) => {
                    let place = text.flattened().bounding_box().transform(text.abs_transform());
                    let place = place.expect("texts are moved and turned");
                    let words = text.chunks().iter().map(|chunk| chunk.text()).collect();
                    let sides = [place.left(), place.top(), place.right(), place.bottom()];
                    out.push((words, sides));
                }
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    collect(tree(drawing).expect("the SVG is valid").root(), &mut out);
    out
}
