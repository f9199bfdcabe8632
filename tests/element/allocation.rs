//! Whose memory frames lie in: what upstream is offered, and downstream's own kind.

use std::sync::atomic::{AtomicUsize, Ordering};

use gst::{prelude::*, subclass::prelude::*};

use crate::rig::*;

mod own {
    use super::*;

    /// A pool that is not GStreamer's plain one, as of a sink with memory of its own.
    #[derive(Default)]
    pub struct OwnPool {
        pub given: AtomicUsize,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for OwnPool {
        const NAME: &'static str = "FlowVidTestPool";
        type Type = super::OwnPool;
        type ParentType = gst::BufferPool;
    }
    impl ObjectImpl for OwnPool {}
    impl GstObjectImpl for OwnPool {}
    impl BufferPoolImpl for OwnPool {
        fn acquire_buffer(
            &self,
            params: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            self.given.fetch_add(1, Ordering::SeqCst);
            self.parent_acquire_buffer(params)
        }
    }
}

glib::wrapper! {
    pub struct OwnPool(ObjectSubclass<own::OwnPool>) @extends gst::BufferPool, gst::Object;
}

#[test]
fn upstream_is_offered_a_pool_that_takes_any_stride() {
    let mut harness = playing(&filter(3, 2), &small());
    let mut query = gst::query::Allocation::new(Some(&small().to_caps().unwrap()), true);
    assert!(harness.srcpad().unwrap().peer_query(&mut query));
    let (pool, size, min, max) = query.allocation_pools().next().expect("no pool is offered");
    assert!(pool.is_some());
    assert_eq!((size as usize, min, max), (small().size(), 2, 0));
    assert!(query.find_allocation_meta::<gst_video::VideoMeta>().is_some());
    assert!(query.find_allocation_meta::<gst_video::VideoCropMeta>().is_none());
    feed(&mut harness, 0..1);
}

/// Downstream of `element` offers a pool of its own for frames of `info`.
fn offer(element: &FlowVidFilter, info: &gst_video::VideoInfo) -> OwnPool {
    let pool: OwnPool = glib::Object::new();
    let (offered, size) = (pool.clone().upcast::<gst::BufferPool>(), info.size() as u32);
    element.static_pad("src").unwrap().add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Query(query)) = &mut info.data else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Allocation(query) = query.view_mut() else { return gst::PadProbeReturn::Ok };
        query.add_allocation_pool(Some(&offered), size, 1, 0);
        gst::PadProbeReturn::Handled
    });
    pool
}

#[test]
fn frames_leave_in_downstreams_own_memory() {
    // Of the second, GStreamer's own copy would lose a sample.
    for info in [small(), info(gst_video::VideoFormat::Yuy2, 15, 16, (25, 1))] {
        let element = filter(3, 2);
        let pool = offer(&element, &info);
        let mut harness = playing(&element, &info);
        (0..7).for_each(|index| assert!(harness.push(timed(&info, index)).is_ok()));
        harness.push_event(gst::event::Eos::new());
        let received = pull_all(&mut harness);
        assert_eq!(received.len(), 7);
        assert_eq!(pool.imp().given.load(Ordering::SeqCst), 7, "frames in downstream's memory");
        for (index, buffer) in received.iter().enumerate() {
            assert_eq!(bytes(buffer), bytes(&timed(&info, index)), "{} frame {index}", info.format());
            assert_eq!(buffer.pts(), timed(&info, index).pts(), "frame {index}");
        }
    }
}
