//! `kiops doctor`

use anyhow::bail;

use crate::app::doctor::Verdict;
use crate::boot;
use crate::config::Config;

/// Tries what the server stands on and prints a line for each thing, and how to mend what fails.
///
/// # Errors
/// When something fails, so that a script can tell.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let findings = boot::examine(config).await?;
    let mut failed = 0;
    for finding in &findings {
        let subject = &finding.subject;
        match &finding.verdict {
            Verdict::Well(what) => println!("ok       {subject}: {what}"),
            Verdict::Warning { what, remedy } => println!("warning  {subject}: {what}\n         {remedy}"),
            Verdict::Ill { what, remedy } => {
                failed += 1;
                println!("FAILED   {subject}: {what}\n         {remedy}");
            }
        }
    }
    match failed {
        0 => Ok(()),
        1 => bail!("one thing does not work"),
        n => bail!("{n} things do not work"),
    }
}
