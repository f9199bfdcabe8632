//! Frames of a clip, decoded by GStreamer one after the other.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gst::{MessageView, prelude::*};
use gst_app::AppSink;
use image::RgbImage;

/// Decoded frames that wait to be taken.
const WAITING: u32 = 4;

/// decodebin may swallow a demuxer's error and never say why nothing comes.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A clip that is being decoded; gives its frames as samples of RGB.
pub struct Frames {
    clip: PathBuf,
    pipeline: gst::Element,
    sink: AppSink,
}

impl Frames {
    /// - `clip`: any file that `decodebin` takes
    /// - `scaled`: what the frames are scaled to, as caps with a comma before: `,width=320`; empty leaves them as they are
    ///
    /// # Errors
    /// Where the file cannot be read or holds no picture.
    pub fn open(clip: &Path, scaled: &str) -> anyhow::Result<Self> {
        let pipeline = gst::parse::launch(&format!(
            "filesrc name=source ! decodebin ! videoconvert ! videoscale ! video/x-raw,format=RGB{scaled} \
             ! appsink name=sink sync=false max-buffers={WAITING}"
        ))?;
        let bin = pipeline.downcast_ref::<gst::Bin>().context("a pipeline is a bin")?;
        bin.by_name("source").context("no source")?.set_property("location", clip);
        let sink = bin.by_name("sink").and_downcast::<AppSink>().context("no sink")?;
        let frames = Self { clip: clip.into(), pipeline, sink };
        frames.start()?;
        Ok(frames)
    }

    /// Without waiting for the first frame, a clip that has none would be waited for for ever.
    fn start(&self) -> anyhow::Result<()> {
        let _ = self.pipeline.set_state(gst::State::Paused); // what went wrong stands on the bus
        let bus = self.pipeline.bus().context("a pipeline has a bus")?;
        let first = [gst::MessageType::AsyncDone, gst::MessageType::Error, gst::MessageType::Eos];
        let message = bus.timed_pop_filtered(PATIENCE, &first).with_context(|| {
            format!("{} cannot be read: nothing comes out of the decoder", self.clip.display())
        })?;
        if let MessageView::Error(error) = message.view() {
            bail!("{} cannot be read: {}", self.clip.display(), error.error());
        }
        self.pipeline.set_state(gst::State::Playing)?;
        Ok(())
    }

    fn error(&self) -> Option<anyhow::Error> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let MessageView::Error(error) = message.view() else { return None };
        Some(anyhow::anyhow!("{} cannot be read: {}", self.clip.display(), error.error()))
    }
}

impl Iterator for Frames {
    type Item = anyhow::Result<gst::Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.sink.pull_sample() {
            Ok(sample) => Some(Ok(sample)),
            Err(_) => self.error().map(Err),
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null); // nobody is left to be told
    }
}

/// A sample of RGB as a picture.
pub fn picture(sample: &gst::Sample) -> anyhow::Result<RgbImage> {
    let format = sample.caps().and_then(|caps| caps.structure(0)).context("a frame without caps")?;
    let (width, height) = (format.get::<i32>("width")? as usize, format.get::<i32>("height")? as usize);
    let pixels = sample.buffer().context("a sample without a frame")?.map_readable()?;
    let stride = pixels.len() / height; // GStreamer pads RGB rows to 4 bytes
    let rows = pixels.chunks_exact(stride).flat_map(|row| &row[..width * 3]).copied().collect();
    RgbImage::from_raw(width as u32, height as u32, rows).context("a frame of the wrong size")
}
