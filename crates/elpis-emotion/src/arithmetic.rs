//! The elementary functions that states depend on.
//!
//! The `exp`, `ln` and `hypot` of a system's math library differ in their last bit between
//! processors: glibc has one variant with fused multiply-add and one without. A journal must give
//! the same state everywhere, so version 2 of the dynamics uses the crate `libm`, which is pinned.
//! Version 1 uses the system's arithmetic; journals written under it keep it. Square roots and the
//! four operations are exact to the last bit everywhere (IEEE 754).

/// Version of the dynamics that new sessions start under.
pub const DYNAMICS: u32 = 2;

/// Version of journals without a version number: the system's arithmetic.
pub(super) const SYSTEM: u32 = 1;

/// Uses a function of `libm` or, under version 1, of the system.
macro_rules! by_version {
    ($($(#[$meta:meta])* $name:ident($($argument:ident),+) = $system:path;)+) => {$(
        $(#[$meta])*
        #[allow(clippy::disallowed_methods, reason = "version 1 uses the system's functions")]
        pub(super) fn $name(dynamics: u32, $($argument: f64),+) -> f64 {
            if dynamics == SYSTEM {
                $system($($argument),+)
            } else {
                libm::$name($($argument),+)
            }
        }
    )+};
}

by_version! {
    /// e to the power of `x`.
    exp(x) = f64::exp;
    /// The natural logarithm of `x`.
    log(x) = f64::ln;
    /// The length of the vector (`x`, `y`).
    hypot(x, y) = f64::hypot;
}
