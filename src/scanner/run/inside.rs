//! What a tool in an image sees of the world, whatever runs it, and whose it is.

use super::Job;
use super::fill::Places;
use crate::cluster::ground::{KIOPS, MANAGED_BY};

pub(super) use crate::cluster::ground::SCAN;

/// The volume that everything is copied into.
pub(super) const VOLUME: &str = "/kiops";
/// The source in it.
pub(super) const SOURCE: &str = "/kiops/source";
/// The saved image in it.
pub(super) const IMAGE: &str = "/kiops/image.tar";
/// The tool's own files in it.
pub(super) const FILES: &str = "/kiops/files";
/// The report in it, in the one folder there that the tool may write to.
pub(super) const REPORT: &str = "/kiops/out/report.json";
/// The folder of the report; also where it starts: whatever it leaves there goes with the volume.
pub(super) const OUT: &str = "/kiops/out";
/// HOME, in memory, as `/tmp` is.
pub(super) const HOME: &str = "/home/kiops";

const TOOL: &str = "kiops.dev/tool";
const SERVICE: &str = "kiops.dev/service";
const ORGANIZATION: &str = "kiops.dev/organization";

/// Whose something is.
pub(super) fn labels<'a>(job: &Job<'a>) -> [(&'static str, &'a str); 5] {
    let mark = job.mark;
    [
        (MANAGED_BY, KIOPS),
        (SCAN, &mark.scan_id),
        (TOOL, &job.tool.name),
        (SERVICE, &mark.service_id),
        (ORGANIZATION, &mark.organization_id),
    ]
}

/// Where things are in the tool's container.
pub(super) fn places(here: &Places) -> Places {
    Places {
        source: here.source.as_ref().map(|_| SOURCE.to_owned()),
        image: here.image.as_ref().map(|_| IMAGE.to_owned()),
        url: here.url.clone(),
        report: REPORT.to_owned(),
        files: FILES.to_owned(),
    }
}
