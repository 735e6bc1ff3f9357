//! Finding repositories of an account that has too many to look through.

use async_trait::async_trait;

use super::super::GitError;
use super::super::ListRequest;
use super::super::call::Memory;
use super::paging::{AT_A_TIME, Choice, Entry, Harvest, Order, Page, Pages, ROWS, Walk};
use super::projects::{Candidate, entry, mine};
use super::{Github, namespaces, wire};
use crate::domain::names::ProjectPath;

/// Characters of a query, at most. GitHub does not count qualifiers; what stays below with them is safe:
/// <https://docs.github.com/rest/search/search#limitations-on-query-length>.
const QUERY: usize = 256;
/// Characters of a repository's name, at most.
const NAME: usize = 100;
/// Pages of a hundred that GitHub's search gives: the first thousand results.
const PAGES: u32 = 10;

/// What a person typed, as repositories can match it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    owner: Option<String>,
    words: Vec<String>,
    /// `owner/name`, where it is one.
    whole: Option<ProjectPath>,
}

impl Wanted {
    /// None when no repository can match. What names can't hold parts words, so that nothing in a text is taken for
    /// a qualifier or an operator of the search.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let whole = ProjectPath::parse(&text).ok().filter(|path| path.parts().count() == 2);
        let (owner, name) = match text.split_once('/') {
            Some((owner, name)) if is_login(owner) && !name.contains('/') => (Some(owner.to_owned()), name),
            _ => (None, text.as_str()),
        };
        let parts = name.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let words: Vec<String> =
            parts.map(|word| word.trim_start_matches('-')).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let length: usize = words.iter().map(String::len).sum();
        if length > NAME || words.len() > NAME / 2 || (words.is_empty() && owner.is_none()) {
            return None;
        }
        Some(Self { owner, words, whole })
    }

    pub(super) fn matches(&self, repository: &wire::Repository) -> bool {
        let name = repository.name.to_lowercase();
        self.owner.as_ref().is_none_or(|owner| repository.owner.login.eq_ignore_ascii_case(owner))
            && self.words.iter().all(|word| name.contains(word.as_str()))
    }

    fn is_whole(&self, repository: &wire::Repository) -> bool {
        self.whole.as_ref().is_some_and(|path| repository.full_name.eq_ignore_ascii_case(path.as_str()))
    }
}

/// What a login is made of. Enterprise servers put an underscore and a short code behind some.
fn is_login(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// Queries that together cover the owners, each short enough.
fn queries(wanted: &Wanted, owners: &[Owner]) -> Vec<String> {
    let wanted_owner =
        |owner: &&Owner| wanted.owner.as_ref().is_none_or(|login| owner.login.eq_ignore_ascii_case(login));
    let mut head = wanted.words.join(" ");
    head.push_str(if head.is_empty() { "fork:true" } else { " in:name fork:true" });
    let mut queries: Vec<String> = Vec::new();
    for owner in owners.iter().filter(wanted_owner) {
        let qualifier = format!(" {}:{}", owner.qualifier, owner.login);
        match queries.last_mut() {
            Some(query) if query.len() + qualifier.len() <= QUERY => query.push_str(&qualifier),
            _ => queries.push(format!("{head}{qualifier}")),
        }
    }
    queries
}

struct Owner {
    qualifier: &'static str,
    login: String,
}

/// The one that was named whole, then what GitHub's search finds, then the repositories of others.
struct Many<'a> {
    github: &'a Github,
    wanted: &'a Wanted,
    queries: Vec<String>,
    /// How the token's owner takes part in what the search can't be asked for.
    others: &'static str,
}

#[async_trait]
impl Pages for Many<'_> {
    /// With whether it is one of others, where only repositories count that no search covered.
    type Row = (usize, wire::Repository);

    fn lists(&self) -> usize {
        self.queries.len() + 2
    }

    fn order(&self, list: usize) -> Order {
        if list > self.queries.len() { Order::Descending } else { Order::Unknown }
    }

    fn at_a_time(&self, list: usize) -> u32 {
        // Searches are dear: thirty a minute.
        if list > self.queries.len() { AT_A_TIME } else { 1 }
    }

    async fn page(&self, list: usize, number: u32) -> Result<Page<(usize, wire::Repository)>, GitError> {
        let page = match list.checked_sub(1) {
            None if number == 1 => self.whole().await?,
            None => Page::only(Vec::new()),
            Some(index) => match self.queries.get(index) {
                Some(query) => self.found(query, number).await?,
                None => mine(self.github, self.others, number).await?,
            },
        };
        let rows = page.rows.into_iter().map(|entry| Entry { id: entry.id, key: entry.key, row: (list, entry.row) });
        Ok(Page { rows: rows.collect(), more: page.more, last: page.last })
    }
}

impl Many<'_> {
    /// Nothing where an organization keeps the token out (SAML): its repositories are in no list either.
    async fn whole(&self) -> Result<Page<wire::Repository>, GitError> {
        let url = self.wanted.whole.as_ref().and_then(|path| self.github.repository_url(path));
        let Some(url) = url else { return Ok(Page::only(Vec::new())) };
        let found = match self.github.read_repository(url, Memory::Recent).await {
            Err(GitError::Forbidden(_)) => None,
            found => found?.filter(|found| self.wanted.is_whole(found)),
        };
        Ok(Page::only(found.into_iter().map(entry).collect()))
    }

    async fn found(&self, query: &str, number: u32) -> Result<Page<wire::Repository>, GitError> {
        if number > PAGES {
            return Ok(Page::only(Vec::new()));
        }
        let mut url = self.github.api.url(&["search", "repositories"]);
        url.query_pairs_mut()
            .append_pair("q", query)
            .append_pair("per_page", ROWS)
            .append_pair("page", &number.to_string());
        let answer = self.github.api.get(url, Memory::Recent).await?;
        let found: wire::Found = self.github.api.json(&answer)?;
        let rows = found.items.into_iter().map(|row| Entry { id: row.id.to_string(), key: None, row }).collect();
        let page = Page::linked(rows, &answer.headers);
        Ok(Page { more: page.more && number < PAGES, last: page.last.map(|last| last.min(PAGES)), ..page })
    }
}

/// Repositories that match, of an account with more than can be looked through.
pub(super) async fn among_many(
    github: &Github,
    request: &ListRequest,
    wanted: &Wanted,
) -> Result<Harvest<Candidate>, GitError> {
    let mut owners = vec![Owner { qualifier: "user", login: github.owner().await?.login }];
    let organizations = match namespaces::logins(github).await {
        Err(GitError::Forbidden(_)) => Vec::new(),
        known => known?,
    };
    // A token that is told of no organization may still see repositories of one.
    let others = if organizations.is_empty() { "collaborator,organization_member" } else { "collaborator" };
    owners.extend(organizations.into_iter().map(|login| Owner { qualifier: "org", login }));
    let many = Many { github, wanted, queries: queries(wanted, &owners), others };
    let covered = |row: &wire::Repository| owners.iter().any(|o| o.login.eq_ignore_ascii_case(&row.owner.login));
    let walk = Walk::begin(&many, request, Choice::Some).await?;
    let beyond = many.queries.len() + 1;
    walk.gather(request.first, |(list, row)| {
        // Anybody may read a public repository; the first list has it when the token's owner takes part in it, or in
        // the organization that it is of.
        let first = wanted.is_whole(&row) && (row.is_shared_with_owner() || covered(&row));
        let belongs = match list {
            0 => first,
            list => !first && wanted.matches(&row) && covered(&row) == (list < beyond),
        };
        if belongs { Candidate::of(row) } else { None }
    })
    .await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn owners(count: usize) -> Vec<Owner> {
        (0..count).map(|n| Owner { qualifier: "org", login: format!("organization-number-{n}") }).collect()
    }

    #[test]
    fn nothing_in_a_text_speaks_to_the_search() {
        let cases = [
            ("shop", "shop in:name fork:true org:organization-number-0"),
            ("My Shop", "my shop in:name fork:true org:organization-number-0"),
            ("user:evil", "user evil in:name fork:true org:organization-number-0"),
            ("a NOT b \"c", "a not b c in:name fork:true org:organization-number-0"),
            ("-topic", "topic in:name fork:true org:organization-number-0"),
            ("organization-number-0/", "fork:true org:organization-number-0"),
            ("organization-number-0/x", "x in:name fork:true org:organization-number-0"),
        ];
        for (text, query) in cases {
            assert_eq!(queries(&Wanted::parse(text).unwrap(), &owners(1)), [query], "{text}");
        }
        for text in ["ä", "\"\"", "---", &"x".repeat(101)] {
            assert_eq!(Wanted::parse(text), None, "{text}");
        }
        assert!(queries(&Wanted::parse("someone/shop").unwrap(), &owners(3)).is_empty());
    }

    #[test]
    fn queries_stay_short_and_cover_everybody() {
        let wanted = Wanted::parse(&"x".repeat(100)).unwrap();
        let made = queries(&wanted, &owners(50));
        assert!(made.iter().all(|query| query.len() <= QUERY), "{made:?}");
        let all = made.join(" ");
        assert!((0..50).all(|n| all.split(' ').any(|part| part == format!("org:organization-number-{n}"))));
    }
}
