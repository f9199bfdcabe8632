//! Where frames' memory comes from: what upstream is offered, and downstream's own kind of memory.

use gst::{FlowError, prelude::*, subclass::prelude::*};
use gst_video::{VideoFrameRef, VideoInfo};

use super::{CAT, frames, imp::FlowVidFilter};

/// Each frame is copied when it comes: one buffer is being filled while another is read.
const BUFFERS: u32 = 2;

/// Answers upstream's ALLOCATION query. Any strides will do, as frames are copied; crop metas will not, so
/// that upstream crops.
pub fn propose(query: &mut gst::query::Allocation) {
    query.add_allocation_meta::<gst_video::VideoMeta>(None);
    let (caps, need_pool) = query.get_owned();
    let Some(info) = caps.as_ref().and_then(|caps| VideoInfo::from_caps(caps).ok()) else { return };
    let size = info.size() as u32;
    let pool = need_pool.then(gst_video::VideoBufferPool::new).filter(|pool| {
        let mut config = pool.config();
        config.set_params(caps.as_ref(), size, BUFFERS, 0);
        config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        pool.set_config(config).is_ok()
    });
    query.add_allocation_pool(pool.as_ref(), size, BUFFERS, 0);
}

/// What is known of downstream's memory.
#[derive(Debug, Default)]
pub struct Downstream {
    /// The answer holds until downstream or the caps change.
    asked: bool,
    /// Where downstream has memory of a kind of its own, which it wants frames in.
    pool: Option<Pool>,
}

/// A pool of downstream's, active.
#[derive(Debug, Clone)]
pub struct Pool {
    pool: gst::BufferPool,
    info: VideoInfo,
}

impl Pool {
    /// Asks the peer of `pad`, which knows `caps` already.
    fn ask(pad: &gst::Pad, caps: &gst::Caps) -> Option<Self> {
        let info = VideoInfo::from_caps(caps).ok()?;
        let mut query = gst::query::Allocation::new(Some(caps), true);
        if !pad.peer_query(&mut query) {
            return None;
        }
        let (pool, size, min, max) = query.allocation_pools().next()?;
        let pool = pool.filter(|pool| !is_plain(pool))?;
        let mut config = pool.config();
        config.set_params(Some(caps), size.max(info.size() as u32), min, max);
        if let Some((allocator, params)) = query.allocation_params().next() {
            config.set_allocator(allocator.as_ref(), Some(&params));
        }
        // Without the meta the planes must lie as the caps say: downstream would not find them elsewhere.
        if query.find_allocation_meta::<gst_video::VideoMeta>().is_some()
            && pool.options().contains(&gst_video::BUFFER_POOL_OPTION_VIDEO_META.into())
        {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        pool.set_config(config).and_then(|()| pool.set_active(true)).ok()?;
        Some(Self { pool, info })
    }

    /// `frame` in downstream's memory; waits for a buffer.
    fn copy(&self, frame: &gst::BufferRef) -> Result<gst::Buffer, FlowError> {
        let mut buffer = self.pool.acquire_buffer(None)?;
        let target = buffer.get_mut().ok_or(FlowError::Error)?;
        copy_frame(frame, target, &self.info).map_err(|_| FlowError::Error)?;
        Ok(buffer)
    }
}

fn copy_frame(
    frame: &gst::BufferRef,
    target: &mut gst::BufferRef,
    info: &VideoInfo,
) -> Result<(), glib::BoolError> {
    let carried = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META;
    frame.copy_into(target, carried, ..)?;
    frames::copy_planes(&VideoFrameRef::from_buffer_ref_readable(frame, info)?, target, info)
}

/// Ordinary memory: our frames lie in such memory already, and a copy would win nothing.
fn is_plain(pool: &gst::BufferPool) -> bool {
    [gst::BufferPool::static_type(), gst_video::VideoBufferPool::static_type()].contains(&pool.type_())
}

impl FlowVidFilter {
    /// `frame` in the memory that downstream wants it in. For the source pad's thread, after the caps.
    pub(super) fn in_downstreams_memory(&self, frame: gst::Buffer) -> Result<gst::Buffer, FlowError> {
        if !std::mem::replace(&mut self.downstream.lock().asked, true) {
            self.leave_pool();
            let pool = self.srcpad.current_caps().and_then(|caps| Pool::ask(&self.srcpad, &caps));
            gst::debug!(CAT, imp = self, "downstream's pool: {pool:?}");
            self.downstream.lock().pool = pool;
        }
        let pool = self.downstream.lock().pool.clone();
        match pool {
            Some(pool) => pool.copy(&frame),
            None => Ok(frame),
        }
    }

    /// Downstream or its caps are others: ask again before the next frame.
    pub(super) fn ask_downstream_again(&self) {
        self.downstream.lock().asked = false;
    }

    /// Lets go of downstream's pool; whoever waits for a buffer goes on.
    pub(super) fn leave_pool(&self) {
        if let Some(Pool { pool, .. }) = self.downstream.lock().pool.take() {
            let _ = pool.set_active(false); // buffers that are still out come back later
        }
    }

    /// Whoever waits for a buffer of downstream's goes on.
    pub(super) fn flush_pool(&self, flushing: bool) {
        let pool = self.downstream.lock().pool.clone();
        if let Some(Pool { pool, .. }) = pool {
            pool.set_flushing(flushing);
        }
    }
}
