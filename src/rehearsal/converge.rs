//! The seam between a rehearsal and what it rehearses: planning and applying.

use super::report::{ApplySummary, PlanSummary};
use crate::topology::Topology;

/// Plans and applies a topology whose hosts are namespaces of this machine.
pub trait Converger {
    /// Reads every host and tells what would change.
    fn plan(&mut self, topology: &Topology) -> Result<PlanSummary, String>;

    /// Plans and makes the changes; whatever could not be made is in the summary.
    fn apply(&mut self, topology: &Topology) -> Result<ApplySummary, String>;
}
