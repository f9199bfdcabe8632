//! What steers the diffusion: optical flow, warps, occlusion, edges, depth; and where shots begin.

pub mod canny;
pub mod cuts;
pub mod depth;
pub mod filters;
pub mod flow;
pub mod gmflow;
pub mod inpaint;
pub mod lucas_kanade;
pub mod occlusion;
pub mod warp;
