//! Shapes as PNG, at twice the size in which they are shown, so that they stay sharp on fine screens.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Mask, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};
use ttf_parser::{Face, OutlineBuilder};

use super::canvas::{Anchor, Canvas, Corners, Ink, Letters, Pen, Shape};

/// Pixels for one unit of length.
const SCALE: f32 = 2.0;
/// What is no higher or no wider than this has no area.
const FLAT: f32 = 0.001;

impl Canvas {
    /// The picture as PNG. Nothing where there is no memory for it.
    pub(in crate::edge) fn png(&self) -> Option<Vec<u8>> {
        let (width, height) = self.size;
        let pixels = Pixmap::new((width * SCALE) as u32, (height * SCALE) as u32)?;
        let mut surface = Surface { pixels, face: self.face.as_ref()?, window: None };
        for shape in &self.shapes {
            surface.draw(shape);
        }
        surface.pixels.encode_png().ok()
    }
}

/// Where shapes become pixels.
struct Surface<'f> {
    pixels: Pixmap,
    face: &'f Face<'static>,
    window: Option<Mask>,
}

impl Surface<'_> {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Panel { corners, radius, ink } => self.fill(panel(*corners, *radius), *ink),
            Shape::Area { corners, ink } => self.fill(polyline(corners, true), *ink),
            Shape::Line { points, pen } => self.stroke(points, *pen),
            Shape::Disc { middle: (x, y), radius, ink } => {
                self.fill(PathBuilder::from_circle(*x, *y, *radius), *ink);
            }
            Shape::Words { text, at, letters } => self.write(text, *at, *letters),
            Shape::Clip(corners) => self.clip(*corners),
        }
    }

    fn clip(&mut self, corners: Option<Corners>) {
        self.window = corners.and_then(|(left, top, right, bottom)| {
            let mut mask = Mask::new(self.pixels.width(), self.pixels.height())?;
            let path = PathBuilder::from_rect(Rect::from_ltrb(left, top, right, bottom)?);
            mask.fill_path(&path, FillRule::Winding, true, Transform::from_scale(SCALE, SCALE));
            Some(mask)
        });
    }

    fn stroke(&mut self, points: &[(f32, f32)], pen: Pen) {
        let Some(path) = polyline(points, false) else { return };
        let dash = pen.dash.and_then(|(on, off)| StrokeDash::new(vec![on, off], 0.0));
        let (line_cap, line_join) = (LineCap::Butt, LineJoin::Round);
        let stroke = Stroke { width: pen.width, dash, line_cap, line_join, ..Stroke::default() };
        let transform = Transform::from_scale(SCALE, SCALE);
        self.pixels.stroke_path(&path, &paint(pen.ink), &stroke, transform, self.window.as_ref());
    }

    fn write(&mut self, text: &str, (x, y): (f32, f32), letters: Letters) {
        let Letters { size, anchor, ink } = letters;
        let per_em = f32::from(self.face.units_per_em());
        let advance = |c| {
            let glyph = self.face.glyph_index(c).unwrap_or_default();
            f32::from(self.face.glyph_hor_advance(glyph).unwrap_or_default())
        };
        let width = text.chars().map(advance).sum::<f32>() * size / per_em;
        let start = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let scale = size / per_em;
        let mut outline = Outline { path: PathBuilder::new(), x: start, y, scale };
        for c in text.chars() {
            let glyph = self.face.glyph_index(c).unwrap_or_default();
            // Blanks have no outline.
            self.face.outline_glyph(glyph, &mut outline);
            outline.x += f32::from(self.face.glyph_hor_advance(glyph).unwrap_or_default()) * scale;
        }
        self.fill(outline.path.finish(), ink);
    }

    fn fill(&mut self, path: Option<Path>, ink: Ink) {
        // The library warns of every path that has no area.
        let has_area = |path: &Path| path.bounds().width() > FLAT && path.bounds().height() > FLAT;
        let Some(path) = path.filter(has_area) else { return };
        let transform = Transform::from_scale(SCALE, SCALE);
        self.pixels.fill_path(&path, &paint(ink), FillRule::Winding, transform, self.window.as_ref());
    }
}

fn paint(ink: Ink) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let [r, g, b, a] = ink.light();
    paint.set_color(Color::from_rgba8(r, g, b, a));
    paint
}

fn panel((left, top, right, bottom): Corners, radius: f32) -> Option<Path> {
    // The share of a radius at which a cubic's handle lies to look like a quarter of a circle.
    let handle = radius * (1.0 - 0.552_285);
    let mut path = PathBuilder::new();
    path.move_to(left + radius, top);
    path.line_to(right - radius, top);
    path.cubic_to(right - handle, top, right, top + handle, right, top + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - handle, right - handle, bottom, right - radius, bottom);
    path.line_to(left + radius, bottom);
    path.cubic_to(left + handle, bottom, left, bottom - handle, left, bottom - radius);
    path.line_to(left, top + radius);
    path.cubic_to(left, top + handle, left + handle, top, left + radius, top);
    path.close();
    path.finish()
}

fn polyline(points: &[(f32, f32)], close: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        if path.is_empty() {
            path.move_to(*x, *y);
        } else {
            path.line_to(*x, *y);
        }
    }
    if close && !path.is_empty() {
        path.close();
    }
    path.finish()
}

/// Puts the outline of a glyph where the next letter stands.
struct Outline {
    path: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
