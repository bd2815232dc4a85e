//! An animal as a list of marks, before it has a place in an image.

use tiny_skia::{
    FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path, Pixmap, Rect,
    SpreadMode, Stroke, Transform,
};

use crate::colour::{Colour, shaded};
use crate::dice::Dice;

/// Style of a drawing's lines and surfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Width of outlines as a share of the image's shorter side; `None` draws no outlines.
    outline: Option<f32>,
    /// Second outline, rotated by this many degrees, as in a sketch.
    second_line: Option<f32>,
    /// Offset of surfaces from their outlines, as in a cheap print; fractions of the shorter side.
    slip: (f32, f32),
    /// Brightness difference between the two ends of a surface.
    shading: f32,
    /// Direction of the light in degrees.
    light: f32,
}

impl Style {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let outline = dice.chance(0.78).then(|| dice.between(0.008, 0.028));
        let sketched = outline.is_some() && dice.chance(0.2);
        let slipped = outline.is_some() && dice.chance(0.15);
        Self {
            outline,
            second_line: sketched.then(|| dice.around_zero(3.0)),
            slip: if slipped {
                (dice.around_zero(0.03), dice.around_zero(0.03))
            } else {
                (0.0, 0.0)
            },
            shading: if dice.chance(0.6) { dice.between(0.05, 0.4) } else { 0.0 },
            light: dice.between(0.0, 360.0),
        }
    }
}

/// One element of a figure.
struct Mark {
    path: Path,
    colour: Colour,
    kind: Kind,
}

enum Kind {
    /// A part of the silhouette: filled, shaded and outlined, with spots on it.
    Part(Vec<(Path, Colour)>),
    /// A surface without an outline.
    Fill,
    /// A line; the width is in the figure's units.
    Line(f32),
}

/// The marks of one animal, in its own coordinates and in drawing order.
#[derive(Default)]
pub(crate) struct Figure {
    marks: Vec<Mark>,
}

impl Figure {
    /// Adds a part of the silhouette.
    pub(crate) fn part(&mut self, path: Option<Path>, colour: Colour) {
        self.spotted_part(path, colour, Vec::new());
    }

    /// Adds a part of the silhouette with `spots`, clipped to it.
    pub(crate) fn spotted_part(
        &mut self,
        path: Option<Path>,
        colour: Colour,
        spots: Vec<(Path, Colour)>,
    ) {
        self.mark(path, colour, Kind::Part(spots));
    }

    /// Adds a surface without an outline.
    pub(crate) fn fill(&mut self, path: Option<Path>, colour: Colour) {
        self.mark(path, colour, Kind::Fill);
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, path: Option<Path>, colour: Colour, width: f32) {
        self.mark(path, colour, Kind::Line(width));
    }

    fn mark(&mut self, path: Option<Path>, colour: Colour, kind: Kind) {
        self.marks.extend(path.map(|path| Mark { path, colour, kind }));
    }

    /// Adds all marks of another figure, moved by `transform`.
    pub(crate) fn add(&mut self, other: Figure, transform: Transform) {
        let scale = transform.get_scale().0;
        let moved = other.marks.into_iter().filter_map(|Mark { path, colour, kind }| {
            let moved = |(spot, colour): (Path, Colour)| Some((spot.transform(transform)?, colour));
            let kind = match kind {
                Kind::Part(spots) => Kind::Part(spots.into_iter().filter_map(moved).collect()),
                Kind::Fill => Kind::Fill,
                Kind::Line(width) => Kind::Line(width * scale),
            };
            Some(Mark { path: path.transform(transform)?, colour, kind })
        });
        self.marks.extend(moved);
    }

    /// The box around the silhouette; `None` for a figure without parts.
    pub(crate) fn bounds(&self) -> Option<Rect> {
        let parts = self.marks.iter().filter(|mark| matches!(mark.kind, Kind::Part(_)));
        parts.map(|mark| mark.path.bounds()).reduce(|all, part| {
            Rect::from_ltrb(
                all.left().min(part.left()),
                all.top().min(part.top()),
                all.right().max(part.right()),
                all.bottom().max(part.bottom()),
            )
            .unwrap_or(all)
        })
    }

    /// Draws the figure; `place` maps its coordinates to pixels.
    pub(crate) fn draw(&self, canvas: &mut Pixmap, place: Transform, style: &Style, ink: Colour) {
        let side = canvas.width().min(canvas.height()) as f32;
        let scale = place.get_scale().0.max(1e-6);
        let surface = place.post_translate(style.slip.0 * side, style.slip.1 * side);
        for Mark { path, colour, kind } in &self.marks {
            match kind {
                Kind::Part(spots) => {
                    let paint = surface_paint(path, *colour, style);
                    canvas.fill_path(path, &paint, FillRule::Winding, surface, None);
                    draw_spots(canvas, path, spots, surface);
                    let Some(width) = style.outline else { continue };
                    let stroke = round_stroke(width * side / scale);
                    canvas.stroke_path(path, &ink.paint(), &stroke, place, None);
                    if let Some(degrees) = style.second_line {
                        let again = place.pre_rotate(degrees);
                        canvas.stroke_path(path, &ink.paint(), &stroke, again, None);
                    }
                }
                Kind::Fill => {
                    canvas.fill_path(path, &colour.paint(), FillRule::Winding, surface, None);
                }
                Kind::Line(width) => {
                    canvas.stroke_path(path, &colour.paint(), &round_stroke(*width), place, None);
                }
            }
        }
    }
}

/// Fills the intersection of the spots and `path`.
fn draw_spots(canvas: &mut Pixmap, path: &Path, spots: &[(Path, Colour)], place: Transform) {
    if spots.is_empty() {
        return;
    }
    let Some(mut inside) = Mask::new(canvas.width(), canvas.height()) else { return };
    inside.fill_path(path, FillRule::Winding, true, place);
    for (spot, colour) in spots {
        canvas.fill_path(spot, &colour.paint(), FillRule::Winding, place, Some(&inside));
    }
}

/// A line with round ends and corners.
pub(crate) fn round_stroke(width: f32) -> Stroke {
    Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() }
}

/// The colour of a part, lighter towards the light and darker on the other side.
fn surface_paint(path: &Path, colour: Colour, style: &Style) -> Paint<'static> {
    let bounds = path.bounds();
    let reach = bounds.width().max(bounds.height()) / 2.0;
    let (sine, cosine) = style.light.to_radians().sin_cos();
    let middle = ((bounds.left() + bounds.right()) / 2.0, (bounds.top() + bounds.bottom()) / 2.0);
    let end = |sign: f32| (middle.0 + sign * cosine * reach, middle.1 + sign * sine * reach).into();
    let stops = vec![
        GradientStop::new(0.0, colour.mix(Colour::WHITE, style.shading).with_opacity(1.0)),
        GradientStop::new(1.0, colour.mix(Colour::BLACK, style.shading).with_opacity(1.0)),
    ];
    let gradient =
        LinearGradient::new(end(-1.0), end(1.0), stops, SpreadMode::Pad, Transform::identity());
    gradient.map_or_else(|| colour.paint(), shaded)
}
