//! Diffusion networks and schedulers, with diffusers' names for modules, options and weights.
