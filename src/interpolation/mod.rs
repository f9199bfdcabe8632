//! The frames between keyframes.
