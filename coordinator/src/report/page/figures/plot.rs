//! Axes, lines and marks in a rectangle of numbers.

use consilium_domain::Arm;

use crate::report::page::markup::{Element, tag};

/// Room for the numbers and names of the axes.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// How a line looks: told apart by colour and by dashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    pub(super) colour: &'static str,
    pub(super) dashes: &'static str,
}

/// Contrast with white at least 4.5 to 1; told apart without colours by their dashes.
const PENS: [Pen; 6] = [
    Pen { colour: "#0b4f8a", dashes: "" },
    Pen { colour: "#a23b00", dashes: "7 3" },
    Pen { colour: "#2d6a2d", dashes: "2 3" },
    Pen { colour: "#6a2c91", dashes: "9 3 2 3" },
    Pen { colour: "#7a5c00", dashes: "4 2" },
    Pen { colour: "#333333", dashes: "1 2" },
];

/// The pen of the line numbered `number`.
pub(super) const fn pen(number: usize) -> Pen {
    PENS[number % PENS.len()]
}

/// The pen of an arm, the same in every figure.
pub(super) const fn arm_pen(arm: Arm) -> Pen {
    pen(match arm {
        Arm::Spottune => 0,
        Arm::Medicalnet => 1,
        Arm::Random => 2,
    })
}

/// A rectangle of the picture that shows `x` by `y`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    pub(super) x: [f64; 2],
    pub(super) y: [f64; 2],
    /// Where it begins in the picture.
    pub(super) origin: [f64; 2],
    /// Width and height with its axes.
    pub(super) size: [f64; 2],
}

impl Plot {
    /// The unit square.
    pub(super) const UNIT: Self =
        Self { x: [0.0, 1.0], y: [0.0, 1.0], origin: [0.0, 0.0], size: [340.0, 330.0] };

    /// Where `value` of x lies in the picture.
    pub(super) fn at_x(&self, value: f64) -> f64 {
        let width = self.size[0] - LEFT - RIGHT;
        self.origin[0] + LEFT + width * (value - self.x[0]) / (self.x[1] - self.x[0])
    }

    /// Where `value` of y lies in the picture.
    pub(super) fn at_y(&self, value: f64) -> f64 {
        let height = self.size[1] - TOP - BOTTOM;
        self.origin[1] + TOP + height * (self.y[1] - value) / (self.y[1] - self.y[0])
    }

    /// Frame, and numbers and names of both axes.
    pub(super) fn axes(&self, x_name: &str, y_name: &str) -> Vec<Element> {
        let mut marks = self.across(x_name);
        let left = self.at_x(self.x[0]);
        for value in ticks(self.y) {
            marks.push(line([left - 4.0, self.at_y(value)], [left, self.at_y(value)], "#1a1a1a"));
            marks.push(label([left - 7.0, self.at_y(value) + 4.0], "end", &short(value, self.y)));
        }
        let (x, y) = (self.origin[0] + 12.0, 0.5 * (self.at_y(self.y[0]) + self.at_y(self.y[1])));
        let turned = format!("rotate(-90 {} {})", round(x), round(y));
        marks.push(label([x, y], "middle", y_name).with("transform", turned));
        marks
    }

    /// Frame, and numbers and name of the axis across alone.
    pub(super) fn across(&self, x_name: &str) -> Vec<Element> {
        let (left, right) = (self.at_x(self.x[0]), self.at_x(self.x[1]));
        let (top, bottom) = (self.at_y(self.y[1]), self.at_y(self.y[0]));
        let frame = tag("rect").with("x", round(left)).with("y", round(top));
        let frame = frame.with("width", round(right - left)).with("height", round(bottom - top));
        let mut marks = vec![frame.with("fill", "none").with("stroke", "#1a1a1a")];
        for value in ticks(self.x) {
            marks.push(line([self.at_x(value), bottom], [self.at_x(value), bottom + 4.0], "#1a1a1a"));
            marks.push(label([self.at_x(value), bottom + 17.0], "middle", &short(value, self.x)));
        }
        marks.push(label([0.5 * (left + right), bottom + 34.0], "middle", x_name));
        marks
    }

    /// A line through `points`.
    pub(super) fn curve(&self, points: &[[f64; 2]], pen: Pen) -> Element {
        let points: Vec<String> = points
            .iter()
            .map(|[x, y]| format!("{},{}", round(self.at_x(*x)), round(self.at_y(*y))))
            .collect();
        let curve = tag("polyline").with("points", points.join(" ")).with("fill", "none");
        let curve = curve.with("stroke", pen.colour).with("stroke-width", 2);
        if pen.dashes.is_empty() { curve } else { curve.with("stroke-dasharray", pen.dashes) }
    }

    /// A thin grey line, such as that of chance.
    pub(super) fn reference(&self, from: [f64; 2], to: [f64; 2]) -> Element {
        let at = |[x, y]: [f64; 2]| [self.at_x(x), self.at_y(y)];
        line(at(from), at(to), "#6a6a6a").with("stroke-dasharray", "3 3")
    }

    /// A dot.
    pub(super) fn dot(&self, [x, y]: [f64; 2], radius: f64, colour: &str) -> Element {
        let dot = tag("circle").with("cx", round(self.at_x(x))).with("cy", round(self.at_y(y)));
        dot.with("r", round(radius)).with("fill", colour)
    }

    /// A line from `low` to `high` at `x`.
    pub(super) fn upright(&self, x: f64, [low, high]: [f64; 2], colour: &str) -> Element {
        line([self.at_x(x), self.at_y(low)], [self.at_x(x), self.at_y(high)], colour)
            .with("stroke-width", 1.5)
    }
}

/// What the lines of a figure mean, as rows from `[x, y]` on.
pub(super) fn legend([x, y]: [f64; 2], entries: &[(String, Pen)]) -> Vec<Element> {
    let mut marks = Vec::new();
    for (row, (name, pen)) in entries.iter().enumerate() {
        let y = y + 16.0 * row as f64;
        let stroke = line([x, y - 4.0], [x + 24.0, y - 4.0], pen.colour).with("stroke-width", 2);
        marks.push(if pen.dashes.is_empty() { stroke } else { stroke.with("stroke-dasharray", pen.dashes) });
        marks.push(label([x + 30.0, y], "start", name));
    }
    marks
}

pub(super) fn line(from: [f64; 2], to: [f64; 2], colour: &str) -> Element {
    let line = tag("line").with("x1", round(from[0])).with("y1", round(from[1]));
    line.with("x2", round(to[0])).with("y2", round(to[1])).with("stroke", colour)
}

/// A text at `[x, y]`; `anchor` is `start`, `middle` or `end`.
pub(super) fn label([x, y]: [f64; 2], anchor: &str, text: &str) -> Element {
    tag("text").with("x", round(x)).with("y", round(y)).with("text-anchor", anchor).text(text)
}

/// A range that holds `values` with a little room; that of 0 to 1 where there are none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> [f64; 2] {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let found = finite.fold(None, |range: Option<[f64; 2]>, value| {
        let [low, high] = range.unwrap_or([value; 2]);
        Some([low.min(value), high.max(value)])
    });
    let Some([low, high]) = found else { return [0.0, 1.0] };
    let room = (0.05 * (high - low)).max(1e-3 * high.abs()).max(1e-6);
    [low - room, high + room]
}

/// Four to ten round numbers within a range.
pub(super) fn ticks([low, high]: [f64; 2]) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let magnitude = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|step| *step >= raw);
    let step = step.unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..first + 12).map(|n| n as f64 * step).take_while(|value| *value <= high + 1e-9 * step).collect()
}

fn short(value: f64, [low, high]: [f64; 2]) -> String {
    let digits = (1.0 - ((high - low) / 5.0).log10()).ceil().clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Hundredths of a pixel are enough.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(
            ticks([0.0, 1.0]).iter().map(|t| short(*t, [0.0, 1.0])).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(ticks([1.0, 10.0]), [2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(short(1200.0, [0.0, 6000.0]), "1200");
        assert_eq!(range([]), [0.0, 1.0]);
        assert!(range([3.0])[0] < 3.0 && range([3.0])[1] > 3.0);
    }
}
