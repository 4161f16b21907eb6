//! Shapes as SVG: words stay words, colours are custom properties with the light colour behind them.

use std::fmt::Write as _;

use super::canvas::{Anchor, Canvas, Corners, Ink, Pen, Shape};
use crate::edge::markup::escape;

/// What a picture is called, for those who do not see it. Everything in it is text and is escaped here.
#[derive(Clone, Copy, Debug)]
pub(in crate::edge) struct Naming<'n> {
    /// Unique in the page: letters, digits and hyphens.
    pub(in crate::edge) id: &'n str,
    /// What is shown.
    pub(in crate::edge) title: &'n str,
    /// What there is to see.
    pub(in crate::edge) description: &'n str,
}

impl Canvas {
    /// The picture as an `svg` element that scales to its room.
    pub(in crate::edge) fn svg(&self, naming: Naming<'_>) -> String {
        let (width, height) = self.size;
        let Naming { id, title, description } = naming;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
             font-family=\"'DejaVu Sans',Verdana,sans-serif\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            number(width),
            number(height),
            escape(title),
            escape(description)
        );
        let (mut windows, mut open): (Vec<Corners>, bool) = (Vec::new(), false);
        for shape in &self.shapes {
            let Shape::Clip(corners) = shape else {
                out.push_str(&drawn(shape));
                continue;
            };
            if std::mem::take(&mut open) {
                out.push_str("</g>");
            }
            let Some((left, top, right, bottom)) = corners else { continue };
            let known = windows.iter().position(|window| Some(window) == corners.as_ref());
            let place = known.unwrap_or(windows.len());
            if known.is_none() {
                windows.push((*left, *top, *right, *bottom));
                let [x, y, w, h] = [*left, *top, right - left, bottom - top].map(number);
                push(
                    &mut out,
                    format_args!(
                        "<clipPath id=\"{id}-c{place}\"><rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"/></clipPath>"
                    ),
                );
            }
            push(&mut out, format_args!("<g clip-path=\"url(#{id}-c{place})\">"));
            open = true;
        }
        out.push_str(if open { "</g></svg>" } else { "</svg>" });
        out
    }
}

/// The custom properties of all inks, for light or for dark.
pub(in crate::edge) fn style(dark: bool) -> String {
    let property = |ink: &Ink| format!("--ink-{}:{};", ink.name(), hex(if dark { ink.dark() } else { ink.light() }));
    Ink::ALL.iter().map(property).collect()
}

fn drawn(shape: &Shape) -> String {
    match shape {
        Shape::Panel { corners: (left, top, right, bottom), radius, ink } => {
            let [x, y, width, height] = [*left, *top, right - left, bottom - top].map(number);
            let (round, colour) = (number(*radius), colour(*ink));
            format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\" fill=\"{colour}\"/>"
            )
        }
        Shape::Area { corners, ink } if corners.len() > 1 => {
            format!("<path d=\"{}Z\" fill=\"{}\"/>", path(corners), colour(*ink))
        }
        Shape::Line { points, pen: Pen { ink, width, dash } } if points.len() > 1 => {
            let dash = dash
                .map_or_else(String::new, |(on, off)| format!(" stroke-dasharray=\"{} {}\"", number(on), number(off)));
            let (path, colour, width) = (path(points), colour(*ink), number(*width));
            format!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}/>"
            )
        }
        Shape::Disc { middle: (x, y), radius, ink } => {
            let [x, y, r] = [*x, *y, *radius].map(number);
            format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" fill=\"{}\"/>", colour(*ink))
        }
        Shape::Words { text, at: (x, y), letters } if !text.is_empty() => {
            let anchor = match letters.anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let [x, y, size] = [*x, *y, letters.size].map(number);
            let ink = colour(letters.ink);
            format!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor} fill=\"{ink}\">{}</text>", escape(text))
        }
        Shape::Area { .. } | Shape::Line { .. } | Shape::Words { .. } | Shape::Clip(_) => String::new(),
    }
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes all that is written to it");
}

fn colour(ink: Ink) -> String {
    format!("var(--ink-{},{})", ink.name(), hex(ink.light()))
}

fn hex([r, g, b, a]: [u8; 4]) -> String {
    if a == 255 { format!("#{r:02x}{g:02x}{b:02x}") } else { format!("#{r:02x}{g:02x}{b:02x}{a:02x}") }
}

fn path(points: &[(f32, f32)]) -> String {
    let mut out = String::with_capacity(points.len() * 12);
    for (at, (x, y)) in points.iter().enumerate() {
        push(&mut out, format_args!("{}{} {}", if at == 0 { 'M' } else { 'L' }, number(*x), number(*y)));
    }
    out
}

/// A tenth of a unit is finer than anybody sees.
fn number(x: f32) -> String {
    let text = format!("{:.1}", if x.is_finite() { x } else { 0.0 });
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Letters;
    use super::*;

    #[test]
    fn text_from_agents_is_text_and_nothing_else() {
        let mut canvas = Canvas::new((100.0, 50.0));
        let letters = Letters { size: 10.0, anchor: Anchor::Middle, ink: Ink::Text };
        canvas.words("</text><script>alert('1')</script>", (5.0, 5.0), letters);
        let svg = canvas.svg(Naming { id: "a", title: "<b>\"x\"", description: "&" });
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        let found: Vec<&str> = document.descendants().filter_map(|n| n.text()).collect();
        assert_eq!(
            found,
            [
                "<b>\"x\"",
                "<b>\"x\"",
                "&",
                "&",
                "</text><script>alert('1')</script>",
                "</text><script>alert('1')</script>"
            ]
        );
        assert!(svg.contains("fill=\"var(--ink-text,#20262e)\""), "{svg}");
    }

    #[test]
    fn every_window_is_opened_once_and_closed() {
        let mut canvas = Canvas::new((100.0, 50.0));
        let pen = Pen { ink: Ink::Grid, width: 1.0, dash: Some((2.0, 3.0)) };
        for window in [Some((0.0, 0.0, 10.0, 10.0)), None, Some((0.0, 0.0, 10.0, 10.0))] {
            canvas.clip(window);
            canvas.line([(0.0, 0.0), (99.96, 5.04)], pen);
        }
        let svg = canvas.svg(Naming { id: "a", title: "t", description: "d" });
        assert!(roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        assert_eq!((svg.matches("<clipPath").count(), svg.matches("<g ").count()), (1, 2), "{svg}");
        assert!(svg.contains("M0 0L100 5\""), "{svg}");
    }
}
