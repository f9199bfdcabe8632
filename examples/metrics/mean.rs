//! Means over pixels of many frames.

use std::iter::Sum;

use tch::{Kind, Tensor};

/// A mean that is pooled: a frame counts by the pixels that it can judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    sum: f64,
    pub pixels: f64,
}

impl Mean {
    /// - `values`: `[1, 1, H, W]`; `counted`: the same shape, true or 1 where a pixel counts
    pub fn of(values: &Tensor, counted: &Tensor) -> Self {
        let total = |tensor: &Tensor| tensor.sum(Kind::Double).double_value(&[]);
        let counted = counted.to_kind(Kind::Float);
        Self { sum: total(&(values * &counted)), pixels: total(&counted) }
    }

    /// Where every pixel counts.
    pub fn of_all(values: &Tensor) -> Self {
        Self { sum: values.sum(Kind::Double).double_value(&[]), pixels: values.numel() as f64 }
    }

    /// `None` where no pixel counts.
    pub fn value(self) -> Option<f64> {
        (self.pixels > 0.0).then(|| self.sum / self.pixels)
    }

    /// `None` also where the other is zero.
    pub fn over(self, other: Self) -> Option<f64> {
        ratio(self.value(), other.value())
    }
}

impl Sum for Mean {
    fn sum<I: Iterator<Item = Self>>(means: I) -> Self {
        means.fold(Self::default(), |a, b| Self { sum: a.sum + b.sum, pixels: a.pixels + b.pixels })
    }
}

/// `None` where one is unknown or the second is zero.
pub fn ratio(value: Option<f64>, other: Option<f64>) -> Option<f64> {
    let (value, other) = (value?, other?);
    (other > 0.0).then(|| value / other)
}
