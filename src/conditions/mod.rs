//! What steers the diffusion: optical flow, warps, occlusion, edges; and where shots begin.
