//! Subsampled chroma: where its samples lie between the pixels, and linear filters from one to the other.
//!
//! Source of the sites: GStreamer's `chroma-site`. Where a stream names none, MPEG's default holds: on the
//! left pixel of two, between two rows. The lines of an interlaced frame count as those of one picture.

use gst_video::{VideoChromaSite, VideoInfo};

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// As many samples as pixels.
    Full,
    /// Half as many, each on the first of two pixels.
    OnFirst,
    /// Half as many, each between two pixels.
    Between,
}

impl Axis {
    /// Horizontal and vertical axis of `info`'s chroma.
    pub fn of(info: &VideoInfo) -> (Self, Self) {
        let format = info.format_info();
        let halved = |shifts: &[u32]| shifts.get(1).is_some_and(|&shift| shift > 0);
        let site = match info.chroma_site() {
            site if site.is_empty() => VideoChromaSite::MPEG2,
            site => site,
        };
        let axis = |shifts: &[u32], cosited| match (halved(shifts), site.contains(cosited)) {
            (false, _) => Self::Full,
            (true, true) => Self::OnFirst,
            (true, false) => Self::Between,
        };
        (axis(format.w_sub(), VideoChromaSite::H_COSITED), axis(format.h_sub(), VideoChromaSite::V_COSITED))
    }

    /// The two of `count` samples around pixel `at`, and the weight of the second.
    pub fn around(self, at: usize, count: usize) -> (usize, usize, f32) {
        let half = at / 2;
        let next = (half + 1).min(count - 1);
        match (self, at % 2) {
            (Self::Full, _) => (at, at, 0.0),
            (Self::OnFirst, 0) => (half, half, 0.0),
            (Self::OnFirst, _) => (half, next, 0.5),
            (Self::Between, 0) => (half.saturating_sub(1), half, 0.75),
            (Self::Between, _) => (half, next, 0.25),
        }
    }

    /// The two samples to which pixel `at` adds, and its share in each before they are normalised.
    pub fn shares(self, at: usize) -> [(usize, f32); 2] {
        match (self, at % 2) {
            (Self::Full, _) => [(at, 1.0), (at, 0.0)],
            (Self::OnFirst, 1) => [(at / 2, 0.5), (at / 2 + 1, 0.5)],
            (Self::OnFirst | Self::Between, _) => [(at / 2, 1.0), (at / 2, 0.0)],
        }
    }

    /// The sample that gets nothing more after pixel `at`, of `count`.
    pub fn finished(self, at: usize, count: usize) -> Option<usize> {
        match self {
            Self::Full => Some(at),
            _ => (at % 2 == 1 || at + 1 == count).then_some(at / 2),
        }
    }

    /// One value a pixel, from a row of `samples`.
    pub fn spread(self, samples: &[f32], pixels: &mut [f32]) {
        if self == Self::Full {
            return pixels.copy_from_slice(samples);
        }
        let last = samples.len() - 1;
        for (half, pair) in pixels.chunks_mut(2).enumerate() {
            let (before, here) = (samples[half.saturating_sub(1)], samples[half]);
            let after = samples[(half + 1).min(last)];
            let (first, second) = match self {
                Self::OnFirst => (here, 0.5 * (here + after)),
                _ => (0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after),
            };
            pair[0] = first;
            if let Some(pixel) = pair.get_mut(1) {
                *pixel = second;
            }
        }
    }

    /// Adds a row of `pixels`, times `share`, to the samples that it belongs to.
    pub fn gather(self, pixels: &[f32], share: f32, samples: &mut [f32]) {
        let last = pixels.len() - 1;
        match self {
            Self::Full => pixels.iter().zip(samples).for_each(|(pixel, sample)| *sample += share * pixel),
            Self::OnFirst => samples.iter_mut().enumerate().for_each(|(half, sample)| {
                let (here, after) = (2 * half, (2 * half + 1).min(last));
                let before = here.saturating_sub(1);
                *sample += share * (0.25 * pixels[before] + 0.5 * pixels[here] + 0.25 * pixels[after]);
            }),
            Self::Between => samples.iter_mut().enumerate().for_each(|(half, sample)| {
                let (here, after) = (2 * half, (2 * half + 1).min(last));
                *sample += share * 0.5 * (pixels[here] + pixels[after]);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXES: [Axis; 3] = [Axis::Full, Axis::OnFirst, Axis::Between];

    /// Where sample `index` lies, in pixels.
    fn position(axis: Axis, index: usize) -> f32 {
        match axis {
            Axis::Full => index as f32,
            Axis::OnFirst => 2.0 * index as f32,
            Axis::Between => 2.0 * index as f32 + 0.5,
        }
    }

    fn count(axis: Axis, pixels: usize) -> usize {
        if axis == Axis::Full { pixels } else { pixels.div_ceil(2) }
    }

    #[test]
    fn a_ramp_stays_where_it_is() {
        for axis in AXES {
            let samples: Vec<f32> = (0..count(axis, 12)).map(|index| position(axis, index)).collect();
            let mut pixels = vec![0.0; 12];
            axis.spread(&samples, &mut pixels);
            for (x, &pixel) in pixels.iter().enumerate().take(10).skip(1) {
                assert_eq!(pixel, x as f32, "{axis:?}");
            }
            let ramp: Vec<f32> = (0..12).map(|x| x as f32).collect();
            let mut gathered = vec![0.0; samples.len()];
            axis.gather(&ramp, 1.0, &mut gathered);
            assert_eq!(gathered[1..], samples[1..], "{axis:?}");
        }
    }

    #[test]
    fn a_constant_stays_itself_for_every_length() {
        for axis in AXES {
            for length in 1..8 {
                let mut samples = vec![0.0; count(axis, length)];
                axis.gather(&vec![7.0; length], 1.0, &mut samples);
                assert!(samples.iter().all(|&sample| sample == 7.0), "{axis:?} of {length}: {samples:?}");
                let mut pixels = vec![0.0; length];
                axis.spread(&samples, &mut pixels);
                assert!(pixels.iter().all(|&pixel| pixel == 7.0), "{axis:?} of {length}: {pixels:?}");
            }
        }
    }

    #[test]
    fn rows_and_columns_follow_the_same_rule() {
        for axis in AXES {
            let samples: Vec<f32> = (0..count(axis, 9)).map(|index| (index * index) as f32).collect();
            let mut pixels = vec![0.0; 9];
            axis.spread(&samples, &mut pixels);
            for (at, &pixel) in pixels.iter().enumerate() {
                let (first, second, weight) = axis.around(at, samples.len());
                assert_eq!(
                    pixel,
                    samples[first] * (1.0 - weight) + samples[second] * weight,
                    "{axis:?} {at}"
                );
            }
        }
    }

    #[test]
    fn every_sample_is_finished_once_and_after_its_last_share() {
        for axis in AXES {
            for length in 1..8 {
                let finished: Vec<usize> = (0..length).filter_map(|at| axis.finished(at, length)).collect();
                assert_eq!(finished, (0..count(axis, length)).collect::<Vec<_>>(), "{axis:?} of {length}");
                for at in 0..length {
                    let open = (0..at).filter_map(|before| axis.finished(before, length)).max();
                    for (sample, share) in axis.shares(at) {
                        assert!(share == 0.0 || open.is_none_or(|done| sample > done), "{axis:?} {at}");
                    }
                }
            }
        }
    }
}
