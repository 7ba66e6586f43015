//! Plots as SVG for a page, in colours that its style sheet may change: what is [`INK`] or
//! [`GRID`] here is given others in the dark.

use std::ops::Range;

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

/// Text and axes, as they stand in the SVG: a style sheet finds them by this.
pub const INK: RGBColor = RGBColor(1, 2, 3);

/// Lines behind the curves, likewise.
pub const GRID: RGBColor = RGBColor(3, 2, 1);

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its colour.
    pub colour: [u8; 3],
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// At each point, between what its values lay: low and high.
    pub spread: Vec<(f64, f64)>,
}

/// A plot: its axes, and curves.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot<'a> {
    /// What is above, in words.
    pub y_title: &'a str,
    /// What is to the right.
    pub x_title: &'a str,
    /// Names at 0, 1, 2 and so on in place of numbers.
    pub x_names: Vec<String>,
    /// Values above each other by factors.
    pub y_log: bool,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

impl Plot<'_> {
    /// The picture. `None`: there is no point.
    pub fn svg(&self) -> Option<String> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        points().next()?;
        let spreads = self.curves.iter().flat_map(|curve| &curve.spread);
        let values = points().map(|(_, y)| *y).chain(spreads.flat_map(|(low, high)| [*low, *high]));
        let (least, most) = bounds(values.filter(|value| !self.y_log || *value > 0.0));
        let (left, right) = bounds(points().map(|(x, _)| *x));
        let x = if self.x_names.is_empty() {
            0.0..right.max(1e-9) * 1.03
        } else {
            left.min(0.0) - 0.3..(self.x_names.len() as f64 - 1.0) + 0.3
        };
        let mut svg = String::new();
        let drawn = if self.y_log {
            let y = 10f64.powf(least.max(1e-3).log10().floor())..most.max(1e-2) * 1.5;
            self.draw(&mut svg, x, y.log_scale())
        } else {
            self.draw(&mut svg, x, 0.0..most.max(1e-9) * 1.08)
        };
        // Only a backend that writes to files can fail.
        drawn.expect("a string takes all");
        Some(flexible(&svg))
    }

    fn draw<Y>(
        &self,
        svg: &mut String,
        x: Range<f64>,
        y: Y,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(18)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        let style = |size: u32| ("sans-serif", size).into_font().color(&INK);
        let x_label = |at: &f64| match self.x_names.len() {
            0 => number(*at),
            // Names stand at whole numbers only.
            _ if (at - at.round()).abs() > 0.01 || *at < -0.01 => String::new(),
            _ => self.x_names.get(at.round() as usize).cloned().unwrap_or_default(),
        };
        let labels = if self.x_names.is_empty() { 8 } else { self.x_names.len() * 2 };
        chart
            .configure_mesh()
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(style(13))
            .axis_desc_style(style(14))
            .x_labels(labels)
            .x_label_formatter(&x_label)
            .y_label_formatter(&|value| number(*value))
            .x_desc(self.x_title)
            .y_desc(self.y_title)
            .draw()?;
        for curve in &self.curves {
            let [red, green, blue] = curve.colour;
            let colour = RGBColor(red, green, blue);
            let spread = curve.points.iter().zip(&curve.spread).map(|((x, _), (low, high))| {
                PathElement::new([(*x, *low), (*x, *high)], colour.stroke_width(1))
            });
            chart.draw_series(spread)?;
            chart.draw_series(LineSeries::new(curve.points.clone(), colour.stroke_width(2)))?;
            let dots = curve.points.iter().map(|point| Circle::new(*point, 4, colour.filled()));
            chart.draw_series(dots)?;
        }
        root.present()?;
        drop(chart);
        Ok(())
    }
}

/// The smallest and the largest; 0 and 1 of none.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let both = values.map(|value| (value, value));
    both.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))).unwrap_or((0.0, 1.0))
}

/// A number with as many digits as are of use.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{value:.0e}"),
        size if size >= 10.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

/// The picture as wide as there is room for.
fn flexible(svg: &str) -> String {
    let (width, height) = SIZE;
    let fixed = format!(r#"<svg width="{width}" height="{height}""#);
    svg.replacen(&fixed, r#"<svg role="img""#, 1)
}

/// How wide a picture is, in its own units.
pub const WIDTH: u32 = 760;

/// How high.
pub const HEIGHT: u32 = 380;

const SIZE: (u32, u32) = (WIDTH, HEIGHT);

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot<'static> {
        let spread = points.iter().map(|(_, y)| (y * 0.9, y * 1.1)).collect();
        let curves = vec![Curve { colour: [0xab, 0xcd, 0xef], points, spread }];
        let x_names = vec!["60".into(), "1514".into()];
        Plot { y_title: "Mpps", x_title: "octets", x_names, y_log: false, curves }
    }

    #[test]
    fn a_curve_is_drawn_with_its_names_and_colours() {
        for y_log in [false, true] {
            let plot = Plot { y_log, ..plot(vec![(0.0, 1.5), (1.0, 0.5)]) };
            let svg = plot.svg().unwrap();
            assert!(svg.starts_with(r#"<svg role="img" viewBox="0 0 760 380""#), "{}", &svg[..80]);
            for part in ["#ABCDEF", "#010203", "#030201", ">\n60\n<", ">\n1514\n<", "Mpps"] {
                assert!(svg.contains(part), "{part}: {svg}");
            }
        }
    }

    #[test]
    fn no_point_is_no_picture_and_nothing_above_zero_is_one() {
        assert_eq!(plot(Vec::new()).svg(), None);
        assert!(plot(vec![(0.0, 0.0)]).svg().is_some());
        assert!(Plot { y_log: true, ..plot(vec![(0.0, 0.0)]) }.svg().is_some());
    }

    #[test]
    fn numbers_have_as_many_digits_as_are_of_use() {
        assert_eq!(
            [0.0, 0.25, 0.001, 1.5, 2.0, 1234.5].map(number),
            ["0", "0.25", "0.001", "1.5", "2", "1234"]
        );
    }
}
