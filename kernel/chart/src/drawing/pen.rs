use std::convert::Infallible;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle, FontTransform,
};

use super::{Drawing, Shape};
use crate::font::{self, Weight};
use crate::palette::Colour;

/// plotters addresses whole pixels. It is given a surface this many times finer, so that curves
/// are smooth; everything handed to plotters (sizes, widths, margins) is in this unit.
pub(crate) const FINE: i32 = 10;

/// Lets plotters draw into a [`Drawing`].
pub(crate) struct Pen<'a>(pub &'a mut Drawing);

type Done = Result<(), DrawingErrorKind<Infallible>>;

fn pixel(fine: i32) -> f32 {
    fine as f32 / FINE as f32
}

fn point((x, y): BackendCoord) -> (f32, f32) {
    (pixel(x), pixel(y))
}

fn colour(of: BackendColor) -> (Colour, f32) {
    (Colour(of.rgb.0, of.rgb.1, of.rgb.2), of.alpha as f32)
}

fn weight(style: &impl BackendTextStyle) -> Weight {
    if matches!(style.style(), FontStyle::Bold) { Weight::Medium } else { Weight::Regular }
}

impl Pen<'_> {
    fn push(&mut self, visible: BackendColor, shape: Shape) -> Done {
        if visible.alpha > 0.0 {
            self.0.shapes.push(shape);
        }
        Ok(())
    }
}

impl DrawingBackend for Pen<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width * FINE as u32, self.0.height * FINE as u32)
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, of: BackendColor) -> Done {
        self.draw_rect(at, (at.0 + FINE, at.1 + FINE), &of, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Done {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Done {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            self.fill_polygon(corners, style)
        } else {
            self.draw_path(corners.into_iter().chain([(left, top)]), style)
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Done {
        let (colour, alpha) = colour(style.color());
        let points = path.into_iter().map(point).collect();
        let width = pixel(i32::try_from(style.stroke_width()).unwrap_or(FINE));
        self.push(style.color(), Shape::Line { points, colour, alpha, width })
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Done {
        let (x, y) = point(centre);
        let radius = radius as f32 / FINE as f32;
        let (colour, alpha) = colour(style.color());
        if fill {
            return self.push(style.color(), Shape::Disc { x, y, radius, colour, alpha });
        }
        let corner = |i: i32| {
            let angle = f64::from(i) * std::f64::consts::TAU / 48.0;
            let reach = f64::from(radius) * f64::from(FINE);
            let offset = |along: f64| (reach * along).round() as i32;
            (centre.0 + offset(angle.cos()), centre.1 + offset(angle.sin()))
        };
        self.draw_path((0..=48).map(corner), style)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Done {
        let (colour, alpha) = colour(style.color());
        let points = corners.into_iter().map(point).collect();
        self.push(style.color(), Shape::Fill { points, colour, alpha })
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Done {
        let size = (style.size() / f64::from(FINE)) as f32;
        let width = font::width(text, size, weight(style));
        let cap = font::cap_height(size);
        let along = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Right => -width,
            HPos::Center => -width / 2.0,
        };
        let down = match style.anchor().v_pos {
            VPos::Top => cap,
            VPos::Center => cap / 2.0,
            VPos::Bottom => 0.0,
        };
        let turned = matches!(style.transform(), FontTransform::Rotate270);
        let (x, y) = point(at);
        let (x, y) = if turned { (x + down, y - along) } else { (x + along, y + down) };
        let shape = Shape::Text {
            x,
            y,
            turned,
            text: text.to_owned(),
            outline: font::outline(text, size, weight(style)),
            colour: colour(style.color()).0,
        };
        self.push(style.color(), shape)
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size() as f32;
        let width = font::width(text, size, weight(style));
        Ok((width.ceil() as u32, font::cap_height(size).ceil() as u32))
    }
}
