//! The document of a scan.
use entity::scan;
/// Whether
#[must_use]
pub fn is_there(row: &scan::Model) -> bool { super::machine::has_result(row) && !row.pruned }
