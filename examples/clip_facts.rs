//! Reads a clip to its end and prints what it holds, one `name=value` a line: frames, their rate and size,
//! and how long picture and sound last (seconds; `none` where there is no sound).
//!
//! `cargo run --release --example clip_facts -- clip.mp4`
//!
//! Fails, saying why, on what is no clip: no such file, no picture in it, damaged, or shorter than its header says.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::{Context, anyhow, bail, ensure};
use clap::Parser;
use gst::{ClockTime, MessageView, prelude::*};

#[derive(Parser)]
struct Arguments {
    /// The clip, in any format that GStreamer reads
    clip: PathBuf,
}

/// What one decoded stream held.
#[derive(Default, Clone, Debug)]
struct Stream {
    buffers: usize,
    caps: Option<gst::Caps>,
    end: ClockTime,
}

/// The first picture and the first sound stream.
#[derive(Default, Debug)]
struct Streams {
    video: Option<Arc<Mutex<Stream>>>,
    audio: Option<Arc<Mutex<Stream>>>,
}

impl Streams {
    fn buffers(&self) -> usize {
        [&self.video, &self.audio].into_iter().flatten().map(|stream| stream.lock().unwrap().buffers).sum()
    }
}

/// A header may round its duration, and sound ends on a whole packet.
const ROUNDING: ClockTime = ClockTime::from_mseconds(200);

/// Under load, decodebin now and then swallows a demuxer's error and neither ends nor says why; seen with GStreamer 1.22.
const PATIENCE: ClockTime = ClockTime::from_seconds(10);

fn main() -> anyhow::Result<()> {
    let Arguments { clip } = Arguments::parse();
    gst::init()?;
    let streams = Arc::new(Mutex::new(Streams::default()));
    let promised =
        read(&clip, &streams).map_err(|error| anyhow!("{} cannot be read: {error}", clip.display()))?;
    let streams = streams.lock().unwrap();
    let taken =
        |stream: &Option<Arc<Mutex<Stream>>>| stream.as_ref().map(|stream| stream.lock().unwrap().clone());
    let (video, audio) = (taken(&streams.video), taken(&streams.audio));
    let Some(video) = video else { bail!("{} holds no picture, only sound", clip.display()) };
    let end = audio.as_ref().map_or(video.end, |audio| audio.end.max(video.end));
    ensure!(
        end + ROUNDING >= promised,
        "{} is cut off: its header promises {promised:.2}, but it ends at {end:.2}",
        clip.display()
    );
    print_facts(&video, audio.as_ref())
}

fn print_facts(video: &Stream, audio: Option<&Stream>) -> anyhow::Result<()> {
    let caps = video.caps.as_ref().context("no picture came out of the decoder")?;
    let format = caps.structure(0).context("empty caps")?;
    let rate = format.get::<gst::Fraction>("framerate").unwrap_or(gst::Fraction::new(0, 1));
    println!("frames={}", video.buffers);
    println!("frame_rate={}/{}", rate.numer(), rate.denom());
    println!("width={}", format.get::<i32>("width")?);
    println!("height={}", format.get::<i32>("height")?);
    println!("video_seconds={:.3}", seconds(video.end));
    match audio {
        Some(audio) => println!("audio_seconds={:.3}", seconds(audio.end)),
        None => println!("audio_seconds=none"),
    }
    Ok(())
}

fn seconds(time: ClockTime) -> f64 {
    time.nseconds() as f64 / 1e9
}

/// Plays the clip as fast as it decodes and answers with the duration that its header tells.
fn read(clip: &PathBuf, streams: &Arc<Mutex<Streams>>) -> anyhow::Result<ClockTime> {
    let pipeline = gst::Pipeline::new();
    let source = gst::ElementFactory::make("filesrc").property("location", clip).build()?;
    let decoder = gst::ElementFactory::make("decodebin").build()?;
    pipeline.add_many([&source, &decoder])?;
    source.link(&decoder)?;
    let (weak, found) = (pipeline.downgrade(), streams.clone());
    decoder.connect_pad_added(move |_, pad| {
        if let Some(pipeline) = weak.upgrade() {
            swallow(&pipeline, pad, &found).expect("a fakesink takes every stream");
        }
    });
    let result = run(&pipeline, streams, PATIENCE);
    let promised = pipeline.query_duration::<ClockTime>().unwrap_or_default();
    pipeline.set_state(gst::State::Null)?;
    result.map(|()| promised)
}

/// Plays to the end. Fails where neither a message nor a buffer comes for as long as `patience`.
fn run(pipeline: &gst::Pipeline, streams: &Mutex<Streams>, patience: ClockTime) -> anyhow::Result<()> {
    let bus = pipeline.bus().expect("a pipeline has a bus");
    // What went wrong stands on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    let mut counted = 0;
    loop {
        for message in bus.iter_timed(patience) {
            match message.view() {
                MessageView::Eos(_) => return Ok(()),
                MessageView::Error(error) => bail!("{}", error.error()),
                _ => (),
            }
        }
        let buffers = streams.lock().unwrap().buffers();
        ensure!(buffers > counted, "nothing comes out of the decoder any more");
        counted = buffers;
    }
}

/// Counts a decoded stream's buffers on their way into a fakesink.
fn swallow(pipeline: &gst::Pipeline, pad: &gst::Pad, streams: &Arc<Mutex<Streams>>) -> anyhow::Result<()> {
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).build()?;
    pipeline.add(&sink)?;
    sink.sync_state_with_parent()?;
    pad.link(&sink.static_pad("sink").context("no sink pad")?)?;
    let kind = pad.query_caps(None).structure(0).map(|caps| caps.name().to_string()).unwrap_or_default();
    let mut streams = streams.lock().unwrap();
    let slot = match kind.as_str() {
        "video/x-raw" => &mut streams.video,
        "audio/x-raw" => &mut streams.audio,
        _ => return Ok(()),
    };
    if slot.is_none() {
        let stream = Arc::new(Mutex::new(Stream::default()));
        *slot = Some(stream.clone());
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            count(&mut stream.lock().unwrap(), pad, info.buffer().expect("asked for buffers only"));
            gst::PadProbeReturn::Ok
        });
    }
    Ok(())
}

fn count(stream: &mut Stream, pad: &gst::Pad, buffer: &gst::BufferRef) {
    stream.buffers += 1;
    stream.caps = pad.current_caps();
    let end = buffer.pts().unwrap_or_default() + buffer.duration().unwrap_or_default();
    let segment = pad.sticky_event::<gst::event::Segment>(0);
    let segment = segment.as_ref().and_then(|event| event.segment().downcast_ref::<ClockTime>());
    let end = segment.and_then(|segment| segment.to_running_time(end)).unwrap_or(end);
    stream.end = stream.end.max(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(line: &str) -> gst::Pipeline {
        gst::init().unwrap();
        gst::parse::launch(line).unwrap().downcast().unwrap()
    }

    #[test]
    fn a_decoder_that_falls_silent_is_not_waited_for_for_ever() {
        let pipeline = pipeline("appsrc ! fakesink");
        let error = run(&pipeline, &Mutex::default(), ClockTime::from_mseconds(50)).unwrap_err();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(error.to_string(), "nothing comes out of the decoder any more");
    }

    #[test]
    fn as_long_as_buffers_come_a_silent_bus_is_no_fault() {
        let pipeline = pipeline("videotestsrc num-buffers=40 ! identity name=last sleep-time=20000");
        let streams = Arc::default();
        swallow(&pipeline, &pipeline.by_name("last").unwrap().static_pad("src").unwrap(), &streams).unwrap();
        run(&pipeline, &streams, ClockTime::from_mseconds(300)).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(streams.lock().unwrap().buffers(), 40);
    }
}
