//! What the element costs without an engine: frames of 1080p and 4K through engine=identity, beside a queue.
//!
//! ```sh
//! cargo run --release --example element_overhead
//! ```

use std::time::Instant;

use gst::prelude::*;

const FRAMES: u64 = 244; // four batches
const RUNS: usize = 5;
const ELEMENTS: [&str; 2] = ["queue", "flowvidfilter engine=identity"];

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// One run's milliseconds a frame, and whether the frame that came out lies elsewhere than the one that went in.
fn run(element: &str, size: (u32, u32)) -> Fallible<(f64, bool)> {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, size.0, size.1)
        .fps(gst::Fraction::new(25, 1))
        .build()?;
    let description =
        format!("appsrc name=source format=time block=true max-buffers=1 ! {element} ! fakesink name=sink");
    let pipeline = gst::parse::launch(&description)?.downcast::<gst::Pipeline>().expect("several elements");
    let source = pipeline.by_name("source").and_downcast::<gst_app::AppSrc>().expect("named above");
    let sink = pipeline.by_name("sink").expect("named above");
    source.set_caps(Some(&info.to_caps()?));
    let frame = gst::Buffer::from_mut_slice(vec![64u8; info.size()]);
    pipeline.set_state(gst::State::Playing)?;
    let begun = Instant::now();
    for index in 0..FRAMES {
        let mut buffer = frame.copy(); // shares the memory
        buffer.make_mut().set_pts(gst::ClockTime::from_mseconds(40) * index);
        source.push_buffer(buffer)?;
    }
    source.end_of_stream()?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends));
    let took = begun.elapsed().as_secs_f64() * 1e3 / FRAMES as f64;
    let last = sink.property::<Option<gst::Sample>>("last-sample");
    pipeline.set_state(gst::State::Null)?;
    if !end.is_some_and(|message| message.type_() == gst::MessageType::Eos) {
        return Err(format!("{element} did not come to its end").into());
    }
    let last = last.ok_or("no frame came out")?;
    let out = last.buffer().ok_or("no frame came out")?;
    Ok((took, out.peek_memory(0).as_ptr() != frame.peek_memory(0).as_ptr()))
}

fn main() -> Fallible<()> {
    gst::init()?;
    gstflowvid::plugin_register_static()?;
    println!("{FRAMES} frames of I420, median (minimum to maximum) of {RUNS} runs that alternate\n");
    println!("| | size | ms a frame | bytes copied a frame |\n|---|---|---|---|");
    for size in [(1920, 1080), (3840, 2160)] {
        let mut medians = Vec::new();
        let mut times = ELEMENTS.map(|_| Vec::new());
        let mut copied = [false; ELEMENTS.len()];
        for _ in 0..RUNS {
            for (index, element) in ELEMENTS.iter().enumerate() {
                let (took, elsewhere) = run(element, size)?;
                times[index].push(took);
                copied[index] = elsewhere;
            }
        }
        for ((element, times), copied) in ELEMENTS.iter().zip(&mut times).zip(copied) {
            times.sort_by(f64::total_cmp);
            let (least, median, most) = (times[0], times[RUNS / 2], times[RUNS - 1]);
            medians.push(median);
            let bytes = if copied { size.0 * size.1 * 3 / 2 } else { 0 };
            println!(
                "| {element} | {}x{} | {median:.3} ({least:.3} to {most:.3}) | {bytes} |",
                size.0, size.1
            );
        }
        println!("| ratio | {}x{} | {:.0} | |", size.0, size.1, medians[1] / medians[0]);
    }
    Ok(())
}
