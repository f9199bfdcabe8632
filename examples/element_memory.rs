//! The memory of a whole process with the element in it, measured and predicted: the default batch, with
//! engine=identity and with the embedded model.
//!
//! ```sh
//! cargo run --release --example element_memory
//! ```
//!
//! Each row is a process of its own. Its sink takes one frame and no more, so all queues fill up; it ends when they
//! are full, and tells the most memory that it ever had.

use std::{env, error::Error, process::Command, thread, time::Duration};

use gst::prelude::*;

type Fallible<T> = Result<T, Box<dyn Error>>;
type Size = (u64, u64);
/// By the frames of a batch.
type BytesAPixel = fn(u64) -> f64;

/// What a pixel takes in bytes, by engine: all that grows with the picture.
///
/// The queues hold two batches on their way in and one on its way out, I420 with 1.5 bytes; eight more at most are
/// with the source, on their way and with the sink. An engine that looks at the
/// pictures has a batch as RGB with 3 bytes and as many results, and enlarges one frame at a time, for
/// which it needs some 40 planes of 4 bytes.
const ENGINES: [(&str, BytesAPixel); 2] = [
    ("engine=identity", |batch| 1.5 * (3 * batch + 8) as f64),
    ("prompt=pencil model=nano", |batch| 1.5 * (3 * batch + 8) as f64 + (2 * 3 * batch) as f64 + 40.0 * 4.0),
];
/// The default of `batch-size`.
const KEYFRAMES: u64 = 16;
/// What processing-size makes of the others: what this takes does not grow with the picture.
const PROCESSED: Size = (448, 256);
const SIZES: [Size; 2] = [(1920, 1080), (3840, 2160)];

/// Fills all queues of the element; the most memory that this process had, in bytes.
fn fill(settings: &str, (width, height): Size) -> Fallible<u64> {
    gst::init()?;
    gstflowvid::plugin_register_static()?;
    let description = format!(
        "videotestsrc pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! \
         flowvidfilter name=filter {settings} ! fakesink"
    );
    let pipeline = gst::parse::launch(&description)?.downcast::<gst::Pipeline>().expect("several elements");
    let filter = pipeline.by_name("filter").expect("named above");
    // One with the sink, a batch on the way out, two on their way in, and one that finds no room.
    let full = 1 + 3 * batch(&filter) + 1;
    pipeline.set_state(gst::State::Paused)?;
    while filter.property::<gst::Structure>("stats").get::<u64>("in")? < full {
        let errors = [gst::MessageType::Error];
        if let Some(error) = pipeline.bus().and_then(|bus| bus.pop_filtered(&errors)) {
            return Err(format!("{error:?}").into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    pipeline.set_state(gst::State::Null)?;
    peak()
}

/// Frames of one batch. Neither engine has a batch size of its own, so the default one holds.
fn batch(filter: &gst::Element) -> u64 {
    (KEYFRAMES - 1) * u64::from(filter.property::<u32>("keyframe-interval")) + 1
}

fn peak() -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

/// The same in a process of its own, in gigabytes.
fn measure(settings: &str, (width, height): Size) -> Fallible<f64> {
    let ended = Command::new(env::current_exe()?)
        .args([settings, &width.to_string(), &height.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let bytes: f64 = String::from_utf8(ended.stdout)?.trim().parse().map_err(|_| "a process failed")?;
    Ok(bytes / 1e9)
}

fn table() -> Fallible<()> {
    gst::init()?;
    gstflowvid::plugin_register_static()?;
    let frames = batch(&gst::ElementFactory::make("flowvidfilter").build()?);
    println!("Peak memory of a process, I420, batches of {frames} frames, all queues full\n");
    println!("| | size | predicted at most | measured |\n|---|---|---|---|");
    for (settings, bytes_a_pixel) in ENGINES {
        let of_picture = |(width, height)| bytes_a_pixel(frames) * (width * height) as f64 / 1e9;
        let base = measure(settings, PROCESSED)?;
        println!("| `{settings}` | {}x{} | | {base:.2} GB |", PROCESSED.0, PROCESSED.1);
        for size in SIZES {
            let predicted = base + of_picture(size) - of_picture(PROCESSED);
            let measured = measure(settings, size)?;
            println!("| `{settings}` | {}x{} | {predicted:.2} GB | {measured:.2} GB |", size.0, size.1);
            if measured > predicted {
                return Err("that is more than predicted".into());
            }
        }
    }
    Ok(())
}

fn main() -> Fallible<()> {
    match &env::args().skip(1).collect::<Vec<_>>()[..] {
        [settings, width, height] => println!("{}", fill(settings, (width.parse()?, height.parse()?))?),
        _ => table()?,
    }
    Ok(())
}
