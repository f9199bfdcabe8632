//! One side of the conversion: a native format, row by row as code values and as red, green and blue.

use gst_video::VideoInfo;

use super::{chroma::Axis, color::Levels, samples::Component};

/// Three values a pixel, each in a row of its own.
pub type Row = [Vec<f32>; 3];

/// Rows of `width` zeros.
pub fn blank_row(width: usize) -> Row {
    std::array::from_fn(|_| vec![0.0; width])
}

/// A native format, read and written by rows.
pub struct Side {
    pub info: VideoInfo,
    pub levels: Levels,
    /// Luma and both chromas, or red, green and blue, or luma alone.
    pub components: Vec<Component>,
    pub alpha: Option<Component>,
    pub horizontal: Axis,
    pub vertical: Axis,
    /// Two rows of chroma as they lie in the frame.
    scratch: [Vec<f32>; 2],
}

impl Side {
    pub fn new(info: &VideoInfo) -> Self {
        let count = if info.n_components() < 3 { 1 } else { 3 };
        let (horizontal, vertical) = Axis::of(info);
        let components: Vec<Component> = (0..count).map(|index| Component::of(info, index)).collect();
        let chroma_width = components.last().map_or(0, |chroma| chroma.width);
        Self {
            info: info.clone(),
            levels: Levels::of(info),
            components,
            alpha: info.has_alpha().then(|| Component::of(info, 3)),
            horizontal,
            vertical,
            scratch: [vec![0.0; chroma_width], vec![0.0; chroma_width]],
        }
    }

    pub fn width(&self) -> usize {
        self.info.width() as usize
    }

    pub fn height(&self) -> usize {
        self.info.height() as usize
    }

    pub fn is_subsampled(&self) -> bool {
        (self.horizontal, self.vertical) != (Axis::Full, Axis::Full)
    }

    /// Whether more than eight bits are worth keeping.
    pub fn is_deep(&self) -> bool {
        self.info.comp_depth(0) > 8
    }

    /// The code values of row `y`, one a pixel in each component; grey has neutral chroma.
    pub fn codes(&mut self, frame: &[u8], y: usize, row: &mut Row) {
        let [first, others @ ..] = row;
        self.components[0].read(frame, y, first);
        for (index, codes) in others.iter_mut().enumerate() {
            match self.components.get(index + 1) {
                Some(component) if !self.is_subsampled() => component.read(frame, y, codes),
                Some(_) => self.chroma(frame, y, index + 1, codes),
                None => codes.fill(self.levels.neutral()),
            }
        }
    }

    /// A row of chroma for every pixel.
    fn chroma(&mut self, frame: &[u8], y: usize, index: usize, codes: &mut [f32]) {
        let component = &self.components[index];
        let (above, below, weight) = self.vertical.around(y, component.height);
        let [samples, other] = &mut self.scratch;
        component.read(frame, above, samples);
        if weight > 0.0 {
            component.read(frame, below, other);
            for (sample, below) in samples.iter_mut().zip(other) {
                *sample += weight * (*below - *sample);
            }
        }
        self.horizontal.spread(samples, codes);
    }
}
