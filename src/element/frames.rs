//! Between GStreamer's frames and the engine's pictures.
//!
//! A frame lives in one buffer of ours from [`take`] on: the native planes, and the carrier of all that
//! is not picture (timestamps, flags, metas). A frame that nothing changed leaves as this very buffer.
//! Eight-bit formats become pictures of eight bits, deeper ones of sixteen, so no bit is lost on the way.

use glib::BoolError;
use gst::BufferCopyFlags;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};

pub use self::{compare::Comparer, convert::Converter};

mod chroma;
mod color;
mod compare;
mod convert;
mod gather;
mod samples;
mod side;

/// Copies a frame of upstream's into a buffer of ours; upstream's own, which may come from a small pool,
/// is not held.
///
/// # Errors
/// If `buffer` is no frame of the format `info`.
pub fn take(buffer: &gst::BufferRef, info: &VideoInfo) -> Result<gst::Buffer, BoolError> {
    let source = VideoFrameRef::from_buffer_ref_readable(buffer, info)?;
    let mut copy = if same_layout(&source, info) {
        let map = buffer.map_readable()?;
        gst::Buffer::from_mut_slice(map[..info.size()].to_vec())
    } else {
        let mut copy = blank(info);
        copy_planes(&source, writable(&mut copy)?, info)?;
        copy
    };
    carry(buffer, writable(&mut copy)?)?;
    Ok(copy)
}

/// Copies the picture of `source` into `target`, whose planes lie as its own meta or else `info` says.
///
/// # Errors
/// If `target` is too small.
pub fn copy_planes(
    source: &VideoFrameRef<&gst::BufferRef>,
    target: &mut gst::BufferRef,
    info: &VideoInfo,
) -> Result<(), BoolError> {
    let mut target = VideoFrameRef::from_buffer_ref_writable(target, info)?;
    source.copy(&mut target)?;
    if halves_a_pair(info) { copy_pairs(source, &mut target) } else { Ok(()) }
}

/// Packed 4:2:2 keeps two pixels in four bytes; of an odd width, half of a row's last four is no pixel.
fn halves_a_pair(info: &VideoInfo) -> bool {
    matches!(info.format(), VideoFormat::Yuy2 | VideoFormat::Uyvy) && info.width() % 2 == 1
}

/// GStreamer 1.22's copy takes two bytes a pixel, so it leaves out the chroma of the last half pair.
fn copy_pairs(
    from: &VideoFrameRef<&gst::BufferRef>,
    to: &mut VideoFrameRef<&mut gst::BufferRef>,
) -> Result<(), BoolError> {
    let row = 2 * from.width().next_multiple_of(2) as usize;
    let (stride, stride_to) = (from.plane_stride()[0] as usize, to.plane_stride()[0] as usize);
    let rows = from.plane_data(0)?.chunks(stride);
    for (from, to) in rows.zip(to.plane_data_mut(0)?.chunks_mut(stride_to)) {
        // Whoever ends the last row of a frame after its last pixel has no such chroma to give.
        let row = row.min(from.len());
        to[..row].copy_from_slice(&from[..row]);
    }
    Ok(())
}

/// Whether the planes lie as in a buffer of our own, padding included.
fn same_layout(frame: &VideoFrameRef<&gst::BufferRef>, info: &VideoInfo) -> bool {
    let buffer = frame.buffer();
    frame.plane_stride() == info.stride()
        && frame.plane_offset() == info.offset()
        && buffer.n_memory() == 1
        && buffer.size() >= info.size()
}

/// A zeroed buffer: the padding at the end of rows must not show what lay in memory before.
fn blank(info: &VideoInfo) -> gst::Buffer {
    gst::Buffer::from_mut_slice(vec![0u8; info.size()])
}

fn writable(buffer: &mut gst::Buffer) -> Result<&mut gst::BufferRef, BoolError> {
    buffer.get_mut().ok_or_else(|| glib::bool_error!("the frame's buffer is shared"))
}

/// Copies what is not picture: timestamps, offsets, flags, and the metas that do not describe memory.
fn carry(from: &gst::BufferRef, to: &mut gst::BufferRef) -> Result<(), BoolError> {
    from.copy_into(to, BufferCopyFlags::FLAGS | BufferCopyFlags::TIMESTAMPS | BufferCopyFlags::META, ..)?;
    // A parent meta would hold upstream's buffer; crop and layout metas describe upstream's planes.
    let foreign = [
        gst::meta::ParentBufferMeta::meta_api(),
        gst_video::VideoCropMeta::meta_api(),
        gst_video::VideoMeta::meta_api(),
    ];
    to.foreach_meta_mut(|meta| {
        let action = if foreign.contains(&meta.api()) {
            gst::buffer::BufferMetaForeachAction::Remove
        } else {
            gst::buffer::BufferMetaForeachAction::Keep
        };
        std::ops::ControlFlow::Continue(action)
    });
    Ok(())
}

#[cfg(test)]
mod tests;
