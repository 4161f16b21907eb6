//! Lines, areas and words as a list of shapes, in the order in which they are drawn.
//!
//! Widths of words are those of DejaVu Sans, which the PNG is written in and whose licence (Bitstream Vera) lets programs carry
//! it. It is a wide face: what fits in it fits in nearly every other.

use ttf_parser::Face;

/// What a stroke or an area is for. PNG has a colour for each, SVG a custom property, so that one picture serves light, dark and
/// print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edge) enum Ink {
    /// The ground.
    Paper,
    /// The rim of the panel, and the axes.
    Edge,
    /// Points, titles.
    Text,
    /// Ticks, names of axes, versions.
    Faint,
    /// Lines of the grid.
    Grid,
    /// Where points lie while all is well, and intervals.
    Band,
    /// The rim of the band.
    Limit,
    /// The baseline's level.
    Centre,
    /// What a rule or a stage asks for.
    Bound,
    /// Out of control.
    Alarm,
    /// When a change began.
    Shade,
    /// Over, or back.
    Over,
    /// A second and a third line beside the first.
    Second,
    Third,
    /// The area below a second line.
    Wash,
}

impl Ink {
    /// All of them, for style sheets.
    pub(in crate::edge) const ALL: [Self; 15] = [
        Self::Paper,
        Self::Edge,
        Self::Text,
        Self::Faint,
        Self::Grid,
        Self::Band,
        Self::Limit,
        Self::Centre,
        Self::Bound,
        Self::Alarm,
        Self::Shade,
        Self::Over,
        Self::Second,
        Self::Third,
        Self::Wash,
    ];

    /// Red, green, blue, opacity on a light ground.
    pub(in crate::edge) const fn light(self) -> [u8; 4] {
        match self {
            Self::Paper => [255, 255, 255, 255],
            Self::Edge => [214, 219, 226, 255],
            Self::Text => [32, 38, 46, 255],
            Self::Faint => [98, 106, 118, 255],
            Self::Grid => [236, 239, 243, 255],
            Self::Band => [37, 99, 168, 26],
            Self::Limit => [37, 99, 168, 120],
            Self::Centre => [37, 99, 168, 255],
            Self::Bound => [176, 106, 0, 255],
            Self::Alarm => [198, 40, 40, 255],
            Self::Shade => [198, 40, 40, 22],
            Self::Over => [46, 125, 50, 255],
            Self::Second => [0, 121, 107, 255],
            Self::Third => [123, 63, 160, 255],
            Self::Wash => [0, 121, 107, 40],
        }
    }

    /// The same on a dark ground.
    pub(in crate::edge) const fn dark(self) -> [u8; 4] {
        match self {
            Self::Paper => [24, 28, 34, 255],
            Self::Edge => [74, 82, 94, 255],
            Self::Text => [228, 232, 238, 255],
            Self::Faint => [160, 169, 182, 255],
            Self::Grid => [44, 50, 59, 255],
            Self::Band => [110, 168, 232, 40],
            Self::Limit => [110, 168, 232, 140],
            Self::Centre => [122, 178, 240, 255],
            Self::Bound => [232, 164, 60, 255],
            Self::Alarm => [255, 107, 107, 255],
            Self::Shade => [255, 107, 107, 40],
            Self::Over => [111, 201, 118, 255],
            Self::Second => [78, 196, 180, 255],
            Self::Third => [196, 146, 232, 255],
            Self::Wash => [78, 196, 180, 56],
        }
    }

    /// The custom property's name behind `--ink-`.
    pub(in crate::edge) const fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Edge => "edge",
            Self::Text => "text",
            Self::Faint => "faint",
            Self::Grid => "grid",
            Self::Band => "band",
            Self::Limit => "limit",
            Self::Centre => "centre",
            Self::Bound => "bound",
            Self::Alarm => "alarm",
            Self::Shade => "shade",
            Self::Over => "over",
            Self::Second => "second",
            Self::Third => "third",
            Self::Wash => "wash",
        }
    }
}

/// Where words stand about their point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Anchor {
    Start,
    Middle,
    End,
}

/// How words are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::edge) struct Letters {
    pub(in crate::edge) size: f32,
    pub(in crate::edge) anchor: Anchor,
    pub(in crate::edge) ink: Ink,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::edge) struct Pen {
    pub(in crate::edge) ink: Ink,
    pub(in crate::edge) width: f32,
    /// Lengths of dash and gap; none for a solid line.
    pub(in crate::edge) dash: Option<(f32, f32)>,
}

/// Left, top, right, bottom.
pub(in crate::edge) type Corners = (f32, f32, f32, f32);

/// One thing that is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A filled rectangle with round corners.
    Panel { corners: Corners, radius: f32, ink: Ink },
    /// A filled polygon.
    Area { corners: Vec<(f32, f32)>, ink: Ink },
    /// A line through points.
    Line { points: Vec<(f32, f32)>, pen: Pen },
    /// A filled disc.
    Disc { middle: (f32, f32), radius: f32, ink: Ink },
    /// Words on a base line.
    Words { text: String, at: (f32, f32), letters: Letters },
    /// From here on only what lies in this rectangle is drawn; nothing for all of the canvas.
    Clip(Option<Corners>),
}

/// A picture in the making. Lengths are in the units in which it is shown (CSS pixels); y grows downward.
pub(in crate::edge) struct Canvas {
    pub(super) size: (f32, f32),
    pub(super) face: Option<Face<'static>>,
    pub(super) shapes: Vec<Shape>,
}

impl Canvas {
    /// An empty, transparent canvas.
    pub(in crate::edge) fn new((width, height): (f32, f32)) -> Self {
        let face = Face::parse(dejavu::sans::regular(), 0).ok();
        Self { size: (width, height), face, shapes: Vec::new() }
    }

    /// From now on only what lies in this rectangle is drawn; nothing for all of the canvas.
    pub(super) fn clip(&mut self, corners: Option<Corners>) {
        self.shapes.push(Shape::Clip(corners));
    }

    /// A filled rectangle with round corners.
    pub(super) fn panel(&mut self, corners: Corners, radius: f32, ink: Ink) {
        self.shapes.push(Shape::Panel { corners, radius, ink });
    }

    /// A filled polygon.
    pub(super) fn area(&mut self, corners: impl IntoIterator<Item = (f32, f32)>, ink: Ink) {
        self.shapes.push(Shape::Area { corners: corners.into_iter().collect(), ink });
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: impl IntoIterator<Item = (f32, f32)>, pen: Pen) {
        self.shapes.push(Shape::Line { points: points.into_iter().collect(), pen });
    }

    /// A filled disc.
    pub(super) fn disc(&mut self, middle: (f32, f32), radius: f32, ink: Ink) {
        self.shapes.push(Shape::Disc { middle, radius, ink });
    }

    /// Words on a base line.
    pub(super) fn words(&mut self, text: &str, at: (f32, f32), letters: Letters) {
        self.shapes.push(Shape::Words { text: text.to_owned(), at, letters });
    }

    /// How wide words are.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let Some(face) = &self.face else { return text.chars().count() as f32 * size * 0.7 };
        let advance = |c| {
            let glyph = face.glyph_index(c).unwrap_or_default();
            f32::from(face.glyph_hor_advance(glyph).unwrap_or_default())
        };
        text.chars().map(advance).sum::<f32>() * size / f32::from(face.units_per_em())
    }

    /// The words, cut with `…` where they would be wider than that; nothing where not even one letter fits.
    pub(super) fn fitted(&self, text: &str, size: f32, room: f32) -> Option<String> {
        if self.width(text, size) <= room {
            return Some(text.to_owned());
        }
        let mut cut: Vec<char> = text.chars().collect();
        while !cut.is_empty() {
            cut.pop();
            let kept: String = cut.iter().collect();
            let short = format!("{}…", kept.trim_end());
            if !cut.is_empty() && self.width(&short, size) <= room {
                return Some(short);
            }
        }
        None
    }
}
