//! Where a journal was begun: what was done to a kernel can only be taken back there.

use std::os::unix::fs::MetadataExt;

use super::record::Head;

/// Returns what identifies this run of the kernel; the same text for all of them where it cannot be told.
pub(in crate::host) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns what identifies the network namespace of this thread, if it can be told.
pub(super) fn namespace() -> Option<(u64, u64)> {
    std::fs::metadata("/proc/thread-self/ns/net").ok().map(|file| (file.dev(), file.ino()))
}

impl Head {
    /// Tells whether this is the run of the kernel in which the journal was begun.
    pub(super) fn is_of_this_boot(&self) -> bool {
        self.boot == boot()
    }

    /// Tells whether this thread is in another network namespace than the one in which the journal was begun.
    pub(in crate::host) fn is_of_another_namespace(&self) -> bool {
        let both = self.namespace.zip(namespace());
        self.is_of_this_boot() && both.is_some_and(|(then, now)| then != now)
    }
}
