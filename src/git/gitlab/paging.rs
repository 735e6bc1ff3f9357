//! How GitLab's lists go on: <https://docs.gitlab.com/api/rest/#pagination>.

use url::Url;

use super::super::call::Answer;

/// Rows of a page, at most.
pub(super) const MOST: usize = 100;
/// Pages that are fetched for one call, at most.
pub(super) const PAGES: usize = 100;
/// Bytes of a token that a cursor holds, at most, so that the cursor is none that is refused for its length. Tokens are
/// names of branches, or little more.
const LONGEST: usize = 300;

/// Whether a list of `asked` rows a page goes on after this page of `got`.
///
/// A whole page may be the last. A shorter one is, unless the server gives pages smaller than it was asked for and
/// says that there is a next one; the address which it gives for that is never followed. Who gives more than was asked
/// for gives all there is.
pub(super) fn goes_on(answer: &Answer, asked: usize, got: usize) -> bool {
    got == asked || (got > 0 && got < asked && says_next(answer))
}

/// Whether the answer says that another page follows.
pub(super) fn says_next(answer: &Answer) -> bool {
    !header(answer, "x-next-page").trim().is_empty() || header(answer, "link").contains("rel=\"next\"")
}

/// The number of the page that was answered, which only numbered pages have.
pub(super) fn number(answer: &Answer) -> Option<usize> {
    header(answer, "x-page").trim().parse().ok().filter(|number| *number > 0)
}

/// What the next page is asked for by (<https://docs.gitlab.com/api/rest/#keyset-based-pagination>): a parameter of the
/// address in `Link`. It is taken out of that address, which itself is never asked.
pub(super) fn next_token(answer: &Answer) -> Option<String> {
    let next = header(answer, "link").split(',').find(|link| link.contains("rel=\"next\""))?;
    let url = Url::parse(next.trim().strip_prefix('<')?.split_once('>')?.0).ok()?;
    let token = url.query_pairs().find(|(name, _)| name == "page_token")?.1.into_owned();
    Some(token).filter(|token| !token.is_empty())
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A page of branches, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The page that a token of the server's means; the first one without.
    Token(Option<String>),
    /// From 1.
    Number(usize),
}

/// Where a list of branches goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum After {
    /// After the default branch, before the first page.
    Default,
    /// After a name, which was last seen on this page.
    Name(Page, String),
}

impl After {
    /// None for what [`After::cursor`] never gave.
    pub(super) fn parse(cursor: &str) -> Option<Self> {
        let (page, name) = cursor.split_once('.')?;
        // No branch has a colon in its name.
        if let Some((name, token)) = name.split_once(':').filter(|_| page == "t") {
            let token = Some(token.to_owned()).filter(|token| !token.is_empty());
            return Some(Self::Name(Page::Token(token), name.to_owned()));
        }
        match page.parse::<usize>().ok()? {
            0 => Some(Self::Default),
            page if page <= 1_000_000 => Some(Self::Name(Page::Number(page), name.to_owned())),
            _ => None,
        }
    }

    pub(super) fn cursor(&self) -> String {
        match self {
            Self::Default => "0.".to_owned(),
            Self::Name(Page::Number(page), name) => format!("{page}.{name}"),
            // Without its token, a page is looked for from the start.
            Self::Name(Page::Token(token), name) => {
                let token = token.as_deref().filter(|token| token.len() <= LONGEST);
                format!("t.{name}:{}", token.unwrap_or_default())
            }
        }
    }
}
