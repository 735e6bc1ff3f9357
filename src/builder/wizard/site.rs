//! Pages of plain files.

use super::Project;
use super::dockerfile::Dockerfile;
use super::plan::Proposal;
use super::web_server::{self, Missing, PORT};

/// A folder with an index.html, the root before `public`.
pub fn detect(project: &Project<'_>) -> Option<Proposal> {
    let (page, copy) =
        [("index.html", "."), ("public/index.html", "public/")].into_iter().find(|(page, _)| project.tree.has(page))?;
    let mut evidence = vec![format!("{page}: a page, and nothing else that is known")];
    if project.web.is_some() {
        evidence.push("Procfile: not used, since nothing of the project runs".to_owned());
    }
    let mut dockerfile = Dockerfile::new();
    web_server::serve(&mut dockerfile, copy, Missing::NotFound);
    Some(Proposal {
        language: "static",
        framework: None,
        version: None,
        package_manager: None,
        port: Some(PORT),
        evidence,
        dockerfile,
        command: None,
        ignore: vec!["node_modules", "README*", "Procfile"],
    })
}
