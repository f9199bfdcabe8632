//! Frames whose motion and occlusion are known exactly: a background and maybe an ellipse before it, cut from
//! real pictures, each moved by its own map.

use gstflowvid::conditions::{
    filters::gaussian,
    warp::{Border, Sampling, target_coordinates, warp},
};
use tch::{Device, Kind, Tensor};

use super::{Fixture, random_values};

/// Mirrored surroundings, so that what moves into the picture has texture.
const MARGIN: i64 = 96;
/// The noise that each frame gets of its own, about a codec's: uniform within this of 0 (of 0..1).
const NOISE: f64 = 0.014;
/// The textures' blur, pixels: what is left can be resampled bicubically with next to no error.
const SOFTNESS: f64 = 0.6;
/// The ellipse's radii, as a share of the picture's width and height.
const RADIUS: f64 = 0.2;

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

/// A map of the plane about the picture's centre: turned and enlarged, then shifted by pixels.
#[derive(Debug, Clone, Copy)]
pub struct Map {
    pub degrees: f64,
    pub zoom: f64,
    pub shift: (f64, f64),
}

pub const fn still() -> Map {
    Map { degrees: 0.0, zoom: 1.0, shift: (0.0, 0.0) }
}

/// A shift of `length` pixels, three across for one down.
pub fn shift(length: f64) -> Map {
    let unit = length / 10.0_f64.sqrt();
    Map { shift: (3.0 * unit, unit), ..still() }
}

impl Map {
    /// The share `time` of the motion.
    fn at(self, time: f64) -> Self {
        let shift = (self.shift.0 * time, self.shift.1 * time);
        Self { degrees: self.degrees * time, zoom: self.zoom.powf(time), shift }
    }

    /// Where the map takes `points`, `[1, 2, H, W]`, pixels from the centre.
    fn apply(self, points: &Tensor) -> Tensor {
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        let (x, y) = (points.narrow(1, 0, 1), points.narrow(1, 1, 1));
        let turned = [&x * cos - &y * sin, &x * sin + &y * cos].map(|part| part * self.zoom);
        Tensor::cat(&[&turned[0] + self.shift.0, &turned[1] + self.shift.1], 1)
    }

    /// Where the map takes `points` from.
    fn invert(self, points: &Tensor) -> Tensor {
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        let x = (points.narrow(1, 0, 1) - self.shift.0) / self.zoom;
        let y = (points.narrow(1, 1, 1) - self.shift.1) / self.zoom;
        Tensor::cat(&[&x * cos + &y * sin, &y * cos - &x * sin], 1)
    }
}

/// A picture and how it moves from time 0 to time 1.
struct Layer {
    picture: Tensor, // with its margin
    map: Map,
}

/// A background that moves, and maybe an ellipse of another picture that moves before it.
pub struct Scene {
    background: Layer,
    foreground: Option<Layer>,
    size: (i64, i64),
}

/// The exact motion from one time's frame to another's, and what of the frame cannot be seen there.
pub struct Truth {
    /// `[1, 2, H, W]`, pixels
    pub to: Tensor,
    /// `[1, 1, H, W]`, bool
    pub hidden: Tensor,
}

impl Scene {
    /// Of 448x256 pixels: bikes' street, before it the rabbit's meadow.
    pub fn of_fixtures(background: Map, foreground: Option<Map>) -> Self {
        let fixture = Fixture::open("flow_networks");
        let layer = |key: &str, map: Map| {
            let soft = gaussian(&fixture.picture(key), SOFTNESS);
            Layer { picture: soft.reflection_pad2d([MARGIN; 4]), map }
        };
        Self {
            background: layer("bikes.first", background),
            foreground: foreground.map(|map| layer("bbb.first", map)),
            size: (256, 448),
        }
    }

    /// The scene at `time` 0..1, `[1, 3, H, W]`, 0..1.
    pub fn frame(&self, time: f64) -> Tensor {
        let background = self.sampled(&self.background, time);
        let picture = match &self.foreground {
            None => background,
            Some(layer) => {
                let cover = self.cover(layer.map, time);
                self.sampled(layer, time) * &cover + background * (1.0 - cover)
            }
        };
        let noise = random_values(1, &format!("{time}"), picture.numel());
        (&picture + Tensor::from_slice(&noise).view(picture.size().as_slice()) * NOISE).clamp(0.0, 1.0)
    }

    /// Of the frame at `time`, seen from there in the one at `other`.
    pub fn truth(&self, time: f64, other: f64) -> Truth {
        let points = self.points();
        let flow = |map: Map| map.at(other).apply(&map.at(time).invert(&points)) - &points;
        let background = flow(self.background.map);
        let Some(map) = self.foreground.as_ref().map(|layer| layer.map) else {
            return Truth { hidden: self.outside(&background), to: background };
        };
        let front = self.cover(map, time).gt(0.5);
        let covered = self.cover_at(map, other, &(&points + &background)).gt(0.5);
        let to = flow(map).where_self(&front, &background);
        let hidden = covered.logical_and(&front.logical_not()).logical_or(&self.outside(&to));
        Truth { to, hidden }
    }

    /// Each pixel's place from the centre, `[1, 2, H, W]`.
    fn points(&self) -> Tensor {
        let (height, width) = self.size;
        let axis = |length: i64| Tensor::arange(length, FLOAT) - (length - 1) as f64 / 2.0;
        let x = axis(width).view([1, 1, 1, width]).expand([1, 1, height, width], false);
        let y = axis(height).view([1, 1, height, 1]).expand([1, 1, height, width], false);
        Tensor::cat(&[x, y], 1)
    }

    fn sampled(&self, layer: &Layer, time: f64) -> Tensor {
        let points = self.points();
        let back = layer.map.at(time).invert(&points) - &points;
        // The margin around a flow only fills the picture's size; it is cut off again.
        let back = back.replication_pad2d([MARGIN; 4]);
        let warped = warp(&layer.picture, &back, Sampling::Bicubic, Border::Replicate);
        warped.narrow(2, MARGIN, self.size.0).narrow(3, MARGIN, self.size.1).contiguous()
    }

    fn cover(&self, map: Map, time: f64) -> Tensor {
        self.cover_at(map, time, &self.points())
    }

    /// How much of `points` the ellipse covers, with an edge one pixel wide, `[1, 1, H, W]`, 0..1.
    fn cover_at(&self, map: Map, time: f64, points: &Tensor) -> Tensor {
        let own = map.at(time).invert(points);
        let (along, across) = (self.size.1 as f64 * RADIUS, self.size.0 as f64 * RADIUS);
        let radius = (own.narrow(1, 0, 1) / along).hypot(&(own.narrow(1, 1, 1) / across));
        ((radius - 1.0) * -across + 0.5).clamp(0.0, 1.0)
    }

    /// Beyond the outermost pixels' edges.
    fn outside(&self, to: &Tensor) -> Tensor {
        let target = target_coordinates(to);
        let beyond = |channel: i64, length: i64| {
            let coordinate = target.narrow(1, channel, 1);
            coordinate.lt(-0.5).logical_or(&coordinate.gt(length as f64 - 0.5))
        };
        beyond(0, self.size.1).logical_or(&beyond(1, self.size.0))
    }
}

/// How well a flow and its confidence tell the truth.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy {
    /// Mean and median distance from the exact flow on the pixels that can be seen, pixels.
    pub mean: f64,
    pub median: f64,
    /// Share of the frame that is hidden.
    pub hidden: f64,
    /// Share of the pixels called hidden (confidence under one half) that are; NaN where none is called so.
    pub precision: f64,
    /// Share of the hidden pixels that are called so; NaN where there are none.
    pub recall: f64,
    /// Share of the visible pixels that are called hidden.
    pub false_alarm: f64,
}

impl Accuracy {
    /// `to`: `[1, 2, H, W]`; `confidence`: `[1, 1, H, W]`, 0..1.
    pub fn of(to: &Tensor, confidence: &Tensor, truth: &Truth) -> Self {
        let distance = (to - &truth.to).square().sum_dim_intlist([1].as_slice(), true, Kind::Float).sqrt();
        let visible = distance.masked_select(&truth.hidden.logical_not());
        let called = confidence.lt(0.5);
        let count = |mask: &Tensor| mask.sum(Kind::Int64).int64_value(&[]) as f64;
        let right = count(&called.logical_and(&truth.hidden));
        Self {
            mean: visible.mean(Kind::Double).double_value(&[]),
            median: visible.median().double_value(&[]),
            hidden: count(&truth.hidden) / truth.hidden.numel() as f64,
            precision: right / count(&called),
            recall: right / count(&truth.hidden),
            false_alarm: (count(&called) - right) / visible.numel() as f64,
        }
    }
}

/// What is measured, by name: pure shifts, a turn, an enlargement, and an ellipse over a background.
pub fn scenes() -> Vec<(&'static str, Scene)> {
    let over = |background: f64, foreground: f64| {
        let foreground = Map { shift: (-foreground, 0.0), ..still() };
        Scene::of_fixtures(shift(background), Some(foreground))
    };
    vec![
        ("shift 0.3 px", Scene::of_fixtures(shift(0.3), None)),
        ("shift 1 px", Scene::of_fixtures(shift(1.0), None)),
        ("shift 3 px", Scene::of_fixtures(shift(3.0), None)),
        ("shift 8 px", Scene::of_fixtures(shift(8.0), None)),
        ("shift 20 px", Scene::of_fixtures(shift(20.0), None)),
        ("shift 40 px", Scene::of_fixtures(shift(40.0), None)),
        ("turn 6 degrees", Scene::of_fixtures(Map { degrees: 6.0, ..still() }, None)),
        ("zoom 1.12", Scene::of_fixtures(Map { zoom: 1.12, ..still() }, None)),
        ("ellipse 6 px left over 3 px right", over(3.0, 6.0)),
        ("ellipse 24 px left over 8 px right", over(8.0, 24.0)),
    ]
}
