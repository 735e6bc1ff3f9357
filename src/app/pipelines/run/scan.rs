//! SCAN: one scan for each kind that is asked for but DAST, which comes after a deployment. What a tool can't see holds
//! nothing up by itself: a gate judges what was found, and whether enough was looked at.

use super::{Step, Work};
use crate::app::pipelines::image;
use crate::app::scans::pipeline::{self, Ending, Look, Targets};
use crate::app::{Result, scans};
use crate::builder::{Journal as _, Output};
use crate::domain::scan::ScanKind;
use crate::scanner::run::Host;

impl Work<'_> {
    pub(super) async fn scan(&mut self) -> Result<Step> {
        let kinds = self.snapshot.build.scans.clone();
        let rows = pipeline::rows(self.app, self.claim, (&self.service, &self.pipeline), &kinds).await?;
        let Some(rows) = rows else { return Ok(Step::Lost) };
        if self.is_source_wanted(&kinds)
            && let Err(step) = self.have_source().await?
        {
            return Ok(step);
        }
        let host = pipeline::host_of(self.app).await?;
        let images = self.images(host.as_ref().ok()).await?;
        let targets = Targets::at_rest(Some(self.folder()), images, host);
        let mut faults = Vec::new();
        for mut row in rows {
            let kind = ScanKind::from(row.kind);
            if row.finished_at.is_none() {
                // Else it would go on beside its own repetition.
                if let Err(why) = pipeline::afresh(self.app, &row).await? {
                    return Ok(Step::Failed(why));
                }
                self.log.line(Output::System, &format!("Scanning: {kind}")).await;
                let look = Look {
                    app: self.app,
                    claim: self.claim,
                    service: &self.service,
                    targets: &targets,
                    journal: self.log.as_ref(),
                    ending: Ending::KeepsJob,
                };
                row = match look.carry_out(row).await? {
                    Some(row) => row,
                    None => return Ok(Step::Lost),
                };
                self.log.line(Output::System, &summary(&row)?).await;
            } else {
                // Whoever ended it may have been killed before all of it was written.
                pipeline::take(self.app, &row).await?;
            }
            if let Some(why) = &row.message {
                faults.push(format!("{kind}: {why}"));
            }
        }
        Ok(match faults.is_empty() {
            true => Step::Passed(None),
            false => Step::Incomplete(faults.join("; ")),
        })
    }

    /// Whether any tool looks at the source: what another server has fetched is then fetched here too.
    fn is_source_wanted(&self, kinds: &[ScanKind]) -> bool {
        let mut tools = self.app.settings.scanners.iter().filter(|tool| kinds.contains(&tool.kind));
        tools.any(|tool| tool.wants("source"))
    }

    /// The image that was built: where the engine that builds keeps it, or, where a cluster builds, in its registry.
    async fn images(&self, host: Option<&Host>) -> Result<std::result::Result<Vec<String>, String>> {
        let Some(built) = image::of(&self.pipeline)? else { return Ok(Err("there is no image to look at".to_owned())) };
        if let Some(Host::Cluster(_)) = host {
            return Ok(image::in_registry(&built).map(|image| vec![image]));
        }
        let builder = match self.builder().await? {
            Ok(builder) => builder,
            Err(Step::Failed(why)) => return Ok(Err(why)),
            Err(_) => return Ok(Err("there is no engine that builds".to_owned())),
        };
        Ok(match builder.holds(&built.id).await {
            Ok(true) => Ok(vec![built.id]),
            Ok(false) => Err("the image that was built is not on the engine that this server builds on".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// What a scan came to, for the log.
fn summary(row: &entity::scan::Model) -> Result<String> {
    let counts = scans::machine::counts_of(row)?;
    let kind = ScanKind::from(row.kind);
    let status = crate::domain::status::RunStatus::from(row.status);
    Ok(format!(
        "{kind}: {status}, {} critical, {} high, {} medium, {} low, {} info; {} new, {} fixed",
        counts.critical, counts.high, counts.medium, counts.low, counts.info, row.new_findings, row.fixed_findings
    ))
}
