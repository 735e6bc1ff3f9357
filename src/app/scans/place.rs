//! Where a finding is on its Git provider.

use entity::{finding, service};
use url::Url;

use crate::app::{Error, Result, git};
use crate::domain::git::Provider;
use crate::scanner::Place;

/// The page of the line, in the commit in which it was seen last. None for what is in no file of a commit.
///
/// # Errors
/// INTERNAL when the row holds something else.
pub fn url(service: &service::Model, row: &finding::Model) -> Result<Option<String>> {
    let place: Place = serde_json::from_value(row.place.clone())
        .map_err(|e| Error::internal(format!("the place of finding {}: {e}", row.id)))?;
    let (path, line) = match place {
        Place::Code { path, line } => (path, line),
        Place::Package { manifest: Some(path), .. } => (path, None),
        _ => return Ok(None),
    };
    let (Some(source), Some(commit)) = (git::source_of(service), &row.commit_sha) else { return Ok(None) };
    Ok(page(&source.web_url, source.provider, (commit, &path, line)))
}

fn page(project: &str, provider: Provider, (commit, path, line): (&str, &str, Option<u32>)) -> Option<String> {
    // What leads out of the tree is text, and no page.
    if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    let mut url = Url::parse(project).ok()?;
    {
        let mut parts = url.path_segments_mut().ok()?;
        parts.pop_if_empty();
        match provider {
            Provider::Gitlab => parts.extend(["-", "blob", commit]),
            Provider::Github => parts.extend(["blob", commit]),
        };
        parts.extend(path.split('/'));
    }
    url.set_fragment(line.map(|line| format!("L{line}")).as_deref());
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_pages() {
        let at = |provider, path, line| page("https://git.example/team/shop", provider, ("abc", path, line));
        let base = "https://git.example/team/shop";
        assert_eq!(at(Provider::Gitlab, "src/a b.py", Some(7)), Some(format!("{base}/-/blob/abc/src/a%20b.py#L7")));
        assert_eq!(at(Provider::Github, "x#y?.rs", None), Some(format!("{base}/blob/abc/x%23y%3F.rs")));
        for bad in ["", "/etc/passwd", "../x", "a//b", "a/./b"] {
            assert_eq!(at(Provider::Github, bad, None), None, "{bad}");
        }
    }
}
