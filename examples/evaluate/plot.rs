//! The course of a few figures over the frames, as an SVG that reads on light and dark ground.

use std::fmt::Write;

use crate::report::{Report, VideoReport};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
/// Of one panel, and where in it the curves lie.
const PANEL: f64 = 190.0;
const TOP: f64 = 34.0;
const CURVES: f64 = 130.0;
/// Above the panels: title and legend.
const HEAD: f64 = 44.0;
/// Steps that an axis is divided into at most.
const TICKS: f64 = 5.0;
/// Source, result, truth: told apart on white and on black, also by those who see red and green alike.
const COLOURS: [&str; 3] = ["#8a8a8a", "#d9762b", "#3f8fd2"];
const STYLE: &str = "text{font:12px sans-serif;fill:#7a7a7a}.title{font-size:14px}\
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}.grid{stroke:#8a8a8a;stroke-opacity:.3}\
.cut{stroke:#8a8a8a;stroke-width:1.2}.batch{stroke:#8a8a8a;stroke-dasharray:4 4}.middle{text-anchor:middle}.end{text-anchor:end}";

type Values = fn(&VideoReport) -> &[Option<f64>];

/// What the panels show.
const PANELS: [(&str, Values); 3] = [
    ("warp error to the frame before (0..255)", |video| &video.course.near),
    ("warp error to the shot's first frame (0..255)", |video| &video.course.anchor),
    ("flicker, over the fine detail", |video| &video.course.flicker),
];

/// A whole SVG file.
pub fn svg(report: &Report) -> String {
    let height = HEAD + PANEL * PANELS.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n"
    );
    head(&mut svg, report);
    for (index, (title, values)) in PANELS.into_iter().enumerate() {
        let panel = Panel::new(report, HEAD + PANEL * index as f64, values);
        panel.draw(&mut svg, title, report);
    }
    svg + "</svg>\n"
}

fn head(svg: &mut String, report: &Report) {
    let name = |index: usize| {
        let file = &report.facts.files[index];
        escaped(&file.file_name().unwrap_or(file.as_os_str()).to_string_lossy())
    };
    let mut x = LEFT;
    for (index, video) in report.videos.iter().enumerate() {
        let text = format!("{}: {}", video.name, name(index));
        let (line, label) = (x + 22.0, x + 28.0);
        let colour = COLOURS[index];
        let _ = writeln!(
            svg,
            "<line class=\"curve\" x1=\"{x:.1}\" y1=\"20\" x2=\"{line:.1}\" y2=\"20\" stroke=\"{colour}\"/>\
             <text x=\"{label:.1}\" y=\"24\">{text}</text>"
        );
        x = label + 7.0 * text.chars().count() as f64 + 20.0;
    }
    let marks = "solid line: cut; dashed line: a batch begins";
    let _ = writeln!(svg, "<text class=\"end\" x=\"{:.1}\" y=\"24\">{marks}</text>", WIDTH - RIGHT);
}

/// One figure's axes.
struct Panel {
    values: Values,
    frames: usize,
    /// Where it begins.
    y: f64,
    greatest: f64,
    step: f64,
}

impl Panel {
    fn new(report: &Report, y: f64, values: Values) -> Self {
        let all = report.videos.iter().flat_map(values).flatten();
        let greatest = all.copied().fold(0.0, f64::max);
        let step = tick(greatest);
        Self { values, frames: report.frames, y, greatest: (greatest / step).ceil().max(1.0) * step, step }
    }

    fn at_x(&self, frame: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * frame as f64 / (self.frames.max(2) - 1) as f64
    }

    fn at_y(&self, value: f64) -> f64 {
        self.y + TOP + CURVES * (1.0 - value / self.greatest)
    }

    fn draw(&self, svg: &mut String, title: &str, report: &Report) {
        let _ = writeln!(
            svg,
            "<text class=\"title\" x=\"{LEFT}\" y=\"{:.1}\">{title}</text>",
            self.y + TOP - 12.0
        );
        self.draw_grid(svg);
        for (class, frames) in [("batch", &report.facts.batches), ("cut", &report.facts.cuts)] {
            for &frame in frames {
                let (x, top, bottom) = (self.at_x(frame), self.at_y(self.greatest), self.at_y(0.0));
                let _ = writeln!(
                    svg,
                    "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"
                );
            }
        }
        for (video, colour) in report.videos.iter().zip(COLOURS) {
            self.draw_curve(svg, (self.values)(video), &report.facts.cuts, colour);
        }
    }

    fn draw_grid(&self, svg: &mut String) {
        let right = WIDTH - RIGHT;
        for index in 0..=(self.greatest / self.step).round() as usize {
            let value = index as f64 * self.step;
            let (y, label) = (self.at_y(value), number(value));
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let step = (tick(self.frames as f64 / 2.0).max(1.0)) as usize;
        for frame in (0..self.frames).step_by(step) {
            let (x, y) = (self.at_x(frame), self.at_y(0.0) + 15.0);
            let _ = writeln!(svg, "<text class=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{frame}</text>");
        }
    }

    /// One line a shot, over frames that tell nothing.
    fn draw_curve(&self, svg: &mut String, values: &[Option<f64>], cuts: &[usize], colour: &str) {
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([values.len()]);
        for (start, end) in starts.zip(ends) {
            let told = (start..end).filter_map(|frame| Some((frame, values[frame]?)));
            let points: Vec<String> = told
                .map(|(frame, value)| format!("{:.1},{:.1}", self.at_x(frame), self.at_y(value)))
                .collect();
            if !points.is_empty() {
                let points = points.join(" ");
                let _ = writeln!(svg, "<polyline class=\"curve\" stroke=\"{colour}\" points=\"{points}\"/>");
            }
        }
    }
}

/// The round step that divides 0 to `greatest` into at most [`TICKS`].
fn tick(greatest: f64) -> f64 {
    let least = (greatest / TICKS).max(1e-6);
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least).unwrap_or(10.0);
    factor * power
}

/// Without the noise of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
