//! A model's first use, when it is loaded. libtorch, oneDNN and cuDNN prepare themselves when they are first used:
//! no frame waits for that, and what they register for the end of the process is registered before our own
//! handler (see [`super::process_end`]).

use std::sync::Arc;

use super::{CancelToken, EditParameters, Frame, Picture, Samples, model::Model, session::Session};

const WIDTH: usize = 128;
const HEIGHT: usize = 96;
/// Two intervals of keyframes: every network of the model has something to do.
const FRAMES: usize = 2 * 4 + 1;

/// Edits a few small frames and forgets them. What fails here fails again where somebody is told of it.
pub fn warm_up(model: &Model, abandoned: &CancelToken) {
    let prompt = model.looks.names().next().unwrap_or_default().to_owned();
    // one step shows all of it
    let parameters = EditParameters { prompt, num_inference_steps: 1, ..EditParameters::default() };
    let frames: Vec<_> = (0..FRAMES).map(frame).collect();
    let _ = Session::default().process(model, &frames, &parameters, abandoned);
}

/// Stripes that move by two pixels a frame.
fn frame(index: usize) -> Frame {
    let sample = |at: usize| {
        let (x, y) = (at / 3 % WIDTH + 2 * index, at / 3 / WIDTH);
        ((x * 9 + y * 5) % 256) as u8
    };
    let samples = Samples::U8((0..WIDTH * HEIGHT * 3).map(sample).collect());
    let picture = Arc::new(Picture { width: WIDTH, height: HEIGHT, samples });
    Frame { picture, stream_time: index as u64, starts_shot: false }
}
