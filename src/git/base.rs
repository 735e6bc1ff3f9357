//! What people type as a provider's address, brought into the form that is stored.

use url::Url;

use super::GitError;
use crate::domain::git::Provider;

/// The normal form: scheme, host, port and path prefix, without a slash at its end. `default` is the configuration's
/// GitHub address; `plain` says whether a host (with its port) may be spoken to without TLS.
pub(super) fn normalise(
    provider: Provider,
    typed: Option<&str>,
    default: &Url,
    plain: impl Fn(&str) -> bool,
) -> Result<String, GitError> {
    let typed = typed.unwrap_or_default();
    if provider == Provider::Github && matches!(bare(typed).as_str(), "" | "github.com" | "www.github.com") {
        return Ok(text_of(default));
    }
    let url = parse(provider, typed, plain)?;
    if provider == Provider::Gitlab {
        return Ok(text_of(&url));
    }
    let mut url = url;
    if let Some(host) = url.host_str().filter(|host| host.ends_with(".ghe.com")).map(str::to_owned) {
        // Where an Enterprise with data residency has its API:
        // https://docs.github.com/enterprise-cloud@latest/graphql/guides/managing-enterprise-accounts
        let api = if host.starts_with("api.") { host } else { format!("api.{host}") };
        url.set_host(Some(&api)).map_err(|_| GitError::Refused("that is no address".to_owned()))?;
        url.set_path("");
    } else if url.path().trim_matches('/').is_empty()
        && text_of(&url) != text_of(default)
        && url.host_str() != Some("api.github.com")
    {
        // Where an Enterprise server has its API: https://docs.github.com/enterprise-server/rest/quickstart
        url.set_path("/api/v3");
    }
    Ok(text_of(&url))
}

fn parse(provider: Provider, typed: &str, plain: impl Fn(&str) -> bool) -> Result<Url, GitError> {
    let refused = |why: String| Err(GitError::Refused(why));
    let example = match provider {
        Provider::Gitlab => "https://gitlab.example.com",
        Provider::Github => "https://github.example.com",
    };
    if typed.len() > 1024 {
        return refused("an address has at most 1024 bytes".to_owned());
    }
    let url = match Url::parse(typed) {
        Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => url,
        _ => return refused(format!("give the address that its pages have, like {example}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refused("an address holds no login: the token has a field of its own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused(format!("an address has neither ? nor # in it: give it like {example}"));
    }
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if url.scheme() == "http" && !plain(&authority) {
        return refused(format!(
            "a token does not travel over http: give the https address, or let an operator list {authority} in \
             net.plain_http"
        ));
    }
    Ok(url)
}

/// An address that a browser may be sent to: a server of somebody's own could answer `javascript:`.
pub(super) fn page(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Where the pages and repositories of a GitHub are, by the address of its API: what [`normalise`] gave, read the other
/// way. An address of no known form, such as that of a server which stands in for GitHub, is both.
pub(super) fn github_pages(api: &Url) -> String {
    let mut url = api.clone();
    let host = url.host_str().unwrap_or_default().to_owned();
    let moved = match host.strip_prefix("api.") {
        Some(rest) if rest == "github.com" || rest.ends_with(".ghe.com") => Some(rest),
        _ => None,
    };
    if let Some(rest) = moved {
        // What is left of a name without its first part is a name.
        url.set_host(Some(rest)).expect("a host's name");
    } else if let Some(prefix) = url.path().trim_end_matches('/').strip_suffix("/api/v3").map(str::to_owned) {
        url.set_path(&prefix);
    }
    text_of(&url)
}

/// What was typed, without scheme and slashes.
fn bare(typed: &str) -> String {
    let text = typed.trim_end_matches('/').to_ascii_lowercase();
    text.strip_prefix("https://").unwrap_or(&text).to_owned()
}

fn text_of(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(provider: Provider, typed: Option<&str>) -> Result<String, GitError> {
        let default = Url::parse("https://api.github.com").expect("an address");
        normalise(provider, typed, &default, |host| host == "gitlab.lan:8080")
    }

    #[test]
    fn addresses_come_into_one_form() {
        let cases = [
            (Provider::Gitlab, Some("https://GitLab.example.com/"), "https://gitlab.example.com"),
            (Provider::Gitlab, Some("https://example.com:8443/tools/gitlab/"), "https://example.com:8443/tools/gitlab"),
            (Provider::Gitlab, Some("https://example.com:443"), "https://example.com"),
            (Provider::Gitlab, Some("http://gitlab.lan:8080"), "http://gitlab.lan:8080"),
            (Provider::Github, None, "https://api.github.com"),
            (Provider::Github, Some(""), "https://api.github.com"),
            (Provider::Github, Some("https://github.com/"), "https://api.github.com"),
            (Provider::Github, Some("https://api.github.com"), "https://api.github.com"),
            (Provider::Github, Some("https://ghe.example.com"), "https://ghe.example.com/api/v3"),
            (Provider::Github, Some("https://ghe.example.com/api/v3/"), "https://ghe.example.com/api/v3"),
            (Provider::Github, Some("https://Octocorp.ghe.com/"), "https://api.octocorp.ghe.com"),
            (Provider::Github, Some("https://api.octocorp.ghe.com"), "https://api.octocorp.ghe.com"),
            (Provider::Github, Some("https://octocorp.ghe.com/api/v3"), "https://api.octocorp.ghe.com"),
            (Provider::Github, Some("https://octocorp.ghe.com.example"), "https://octocorp.ghe.com.example/api/v3"),
        ];
        for (provider, typed, expected) in cases {
            assert_eq!(of(provider, typed).as_deref(), Ok(expected), "{typed:?}");
        }
    }

    #[test]
    fn repositories_are_where_the_pages_are() {
        let cases = [
            ("https://api.github.com", "https://github.com"),
            ("https://api.github.com/", "https://github.com"),
            ("https://api.octocorp.ghe.com", "https://octocorp.ghe.com"),
            ("https://ghe.example.com/api/v3", "https://ghe.example.com"),
            ("https://ghe.example.com:8443/git/api/v3/", "https://ghe.example.com:8443/git"),
            ("http://127.0.0.1:4010", "http://127.0.0.1:4010"),
            ("https://api.example.com", "https://api.example.com"),
            ("https://api.github.com.example", "https://api.github.com.example"),
        ];
        for (api, pages) in cases {
            assert_eq!(github_pages(&Url::parse(api).expect(api)), pages, "{api}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        let cases = [
            ("", "like https://gitlab.example.com"),
            ("gitlab.example.com", "like https://gitlab.example.com"),
            ("ftp://gitlab.example.com", "like https://gitlab.example.com"),
            ("file:///etc/passwd", "like https://gitlab.example.com"),
            ("https://", "like https://gitlab.example.com"),
            ("https://user:secret@gitlab.example.com", "holds no login"),
            ("https://gitlab.example.com/?x=1", "neither ? nor #"),
            ("https://gitlab.example.com/#x", "neither ? nor #"),
            ("http://gitlab.example.com", "net.plain_http"),
        ];
        for (typed, why) in cases {
            let message = of(Provider::Gitlab, Some(typed)).expect_err(typed).to_string();
            assert!(message.contains(why), "{typed}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
