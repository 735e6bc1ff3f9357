//! What the tools of a scan are let at.

use std::path::PathBuf;

use super::dast::Address;
use crate::scanner::run::{Beside, Host};
use crate::scanner::{Target, Tool};

/// What there is to be looked at, and where.
#[derive(Clone)]
pub(in crate::app) struct Targets {
    /// The folder of the source; none where there is none.
    pub(in crate::app) source: Option<PathBuf>,
    /// The same with its history, for tools that want that; or why it is not there.
    pub(super) history: std::result::Result<PathBuf, String>,
    /// Images on the engine that builds, or, where a cluster builds, in registries; or why there is none.
    pub(in crate::app) images: std::result::Result<Vec<String>, String>,
    /// Where the service answers.
    pub(super) addresses: Vec<Address>,
    /// What builds; or why there is nothing.
    pub(in crate::app) host: std::result::Result<Host, String>,
}

/// What a tool is let at in one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Aim {
    pub(super) target: Target,
    /// Where the service is that it scans, if that is on the same host.
    pub(super) join: Option<Beside>,
}

impl Targets {
    /// A source and images alone.
    pub(in crate::app) fn at_rest(
        source: Option<PathBuf>,
        images: std::result::Result<Vec<String>, String>,
        host: std::result::Result<Host, String>,
    ) -> Self {
        let history = Err("the history of the source was not fetched".to_owned());
        Self { source, history, images, addresses: Vec::new(), host }
    }

    /// What a tool is let at, one run each.
    ///
    /// # Errors
    /// Why what it needs is not there, for people.
    pub(super) fn of(&self, tool: &Tool) -> std::result::Result<Vec<Aim>, String> {
        if tool.image.is_some() || tool.wants("image") {
            self.host.as_ref().map_err(Clone::clone)?;
        }
        let source = match tool.wants("source") {
            true if tool.history && self.source.is_some() => Some(self.history.clone()?),
            true => Some(self.source.clone().ok_or("there is no source to look at: the service is made of images")?),
            false => None,
        };
        let base = Target { source, image: None, url: None };
        if tool.wants("image") {
            let images = self.images.as_ref().map_err(Clone::clone)?;
            let at = |image: &String| Aim { target: Target { image: Some(image.clone()), ..base.clone() }, join: None };
            return Ok(images.iter().map(at).collect());
        }
        if tool.wants("url") {
            let at = |address: &Address| {
                let (url, beside) = address.seen_from(tool.image.is_some());
                Aim { target: Target { url: Some(url.to_owned()), ..base.clone() }, join: beside.cloned() }
            };
            return match self.addresses.is_empty() {
                true => Err("there is no address to scan".to_owned()),
                false => Ok(self.addresses.iter().map(at).collect()),
            };
        }
        Ok(vec![Aim { target: base, join: None }])
    }
}
