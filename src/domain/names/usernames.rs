//! User names that a GitLab server takes: <https://docs.gitlab.com/user/reserved_names/>.

use std::collections::BTreeSet;

/// Characters of a candidate, at most. GitLab takes 255; shorter ones can still be read, and leave room for a number.
const LONGEST: usize = 64;
/// Candidates, at most.
const MOST: usize = 100;

/// What GitLab's pages have their names from, so that no account may: the same page, "Reserved group names".
const RESERVED: [&str; 24] = [
    "admin",
    "api",
    "assets",
    "dashboard",
    "explore",
    "files",
    "groups",
    "health_check",
    "help",
    "import",
    "jwt",
    "login",
    "oauth",
    "profile",
    "projects",
    "public",
    "s",
    "search",
    "sitemap",
    "snippets",
    "unsubscribes",
    "uploads",
    "users",
    "v2",
];

/// Endings after a dot that GitLab refuses (`.git`, `.atom`), or newer servers do for being those of files.
const ENDINGS: [&str; 44] = [
    "git", "atom", "aac", "bmp", "css", "csv", "gif", "gz", "gzip", "htm", "html", "ico", "ics", "jpe", "jpeg", "jpg",
    "js", "json", "m4a", "md", "mjs", "mp3", "mp4", "mpeg", "mpg", "ogg", "otf", "pdf", "pjpeg", "png", "rss", "svg",
    "text", "tif", "tiff", "ttf", "txt", "vcf", "wav", "webm", "webp", "xml", "yaml", "zip",
];

/// User names for a person, best first: from the address before its `@`, from the name, then these with a number.
/// Each is one that a GitLab server takes, none comes twice (whatever the case), and there are 100 at most: 2 to 64
/// lower-case letters, digits and single `.`, `_` and `-` between them.
pub fn gitlab_usernames(email: &str, name: &str) -> impl Iterator<Item = String> + use<> {
    let (local, host) = email.rsplit_once('@').unwrap_or((email, ""));
    // What follows a plus sorts one's mail.
    let local = local.split('+').next().unwrap_or_default();
    let place = host.split('.').next().unwrap_or_default();
    let plain: Vec<String> = [
        local.to_owned(),
        name.split_whitespace().collect::<Vec<_>>().join("."),
        format!("{local}-{place}"),
        format!("{local}-user"),
    ]
    .iter()
    .map(|text| tidy(text))
    .filter(|text| !text.is_empty())
    .collect();
    let stem = plain.iter().find(|text| is_valid(text)).cloned().unwrap_or_else(|| "user".to_owned());
    let numbered = (2..).map(move |number: u32| format!("{stem}-{number}"));
    let mut seen = BTreeSet::new();
    plain
        .into_iter()
        .chain(numbered)
        .filter(|text| is_valid(text))
        .filter(move |text| seen.insert(text.clone()))
        .take(MOST)
}

/// Whether a GitLab server takes it, by the stricter of the rules that it has had.
fn is_valid(text: &str) -> bool {
    let special = |byte: u8| b"._-".contains(&byte);
    let bytes = text.as_bytes();
    (2..=255).contains(&bytes.len())
        && bytes.iter().all(|&byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || special(byte))
        && bytes.first().is_some_and(|&byte| !special(byte))
        && bytes.last().is_some_and(|&byte| !special(byte))
        && !bytes.windows(2).any(|pair| pair.iter().all(|&byte| special(byte)))
        // Digits alone would be read as an id where a path is asked for.
        && !bytes.iter().all(u8::is_ascii_digit)
        && !RESERVED.contains(&text)
        && text.rsplit_once('.').is_none_or(|(_, ending)| !ENDINGS.contains(&ending))
}

/// Lower case, without accents, anything else a hyphen, and specials alone and inside.
fn tidy(text: &str) -> String {
    let mut tidied = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match unaccented(c) {
            Some(plain) => tidied.push_str(plain),
            None if c.is_ascii_alphanumeric() => tidied.push(c),
            None if tidied.is_empty() || tidied.ends_with(['.', '_', '-']) => {}
            None => tidied.push(if matches!(c, '.' | '_') { c } else { '-' }),
        }
        if tidied.len() >= LONGEST {
            break;
        }
    }
    tidied.truncate(LONGEST);
    let tidied = tidied.trim_end_matches(['.', '_', '-']);
    match tidied.rsplit_once('.') {
        Some((before, ending)) if ENDINGS.contains(&ending) => format!("{before}-{ending}"),
        _ => tidied.to_owned(),
    }
}

/// The Latin letters that Europe writes beyond a to z.
fn unaccented(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' | 'æ' => "ae",
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ĺ' | 'ļ' | 'ľ' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ö' | 'ø' | 'œ' => "oe",
        'ò' | 'ó' | 'ô' | 'õ' | 'ō' | 'ő' => "o",
        'ŕ' | 'ř' => "r",
        'ß' => "ss",
        'ś' | 'ş' | 'ș' | 'š' => "s",
        'ţ' | 'ț' | 'ť' => "t",
        'þ' => "th",
        'ü' => "ue",
        'ù' | 'ú' | 'û' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // What to_lowercase leaves of a capital I with a dot, and accents that stand for themselves.
        '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(email: &str, name: &str) -> Vec<String> {
        gitlab_usernames(email, name).take(4).collect()
    }

    #[test]
    fn the_address_comes_first_and_numbers_last() {
        assert_eq!(
            first("Ada.Lovelace+work@example.com", "Ada King"),
            ["ada.lovelace", "ada.king", "ada.lovelace-example", "ada.lovelace-user"]
        );
        let all: Vec<String> = gitlab_usernames("ada@example.com", "Ada").collect();
        assert_eq!(all[..5], ["ada", "ada-example", "ada-user", "ada-2", "ada-3"]);
        assert_eq!(all.len(), 100);
    }

    #[test]
    fn what_gitlab_refuses_is_not_proposed() {
        let cases = [
            ("admin@example.com", "Jörg Müller", "joerg.mueller"),
            ("a@example.com", "X", "a-example"),
            ("v2@example.com", "X", "v2-example"),
            ("jo.git@example.com", "Jo", "jo-git"),
            ("jo.PNG@example.com", "Jo", "jo-png"),
            ("-_.x@example.com", "", "x-example"),
            ("o'neil..@example.com", "", "o-neil"),
            ("12345@example.com", "Łukasz Žák", "lukasz.zak"),
            ("李@例え.jp", "李 明", "user"),
            ("", "", "user"),
        ];
        for (email, name, expected) in cases {
            assert_eq!(first(email, name)[0], expected, "{email} {name}");
        }
    }

    proptest! {
        #[test]
        fn every_candidate_is_valid_distinct_and_there_is_always_another(
            local in "\\PC{0,80}", host in "[a-z.-]{0,300}", name in "\\PC{0,120}"
        ) {
            let all: Vec<String> = gitlab_usernames(&format!("{local}@{host}"), &name).collect();
            prop_assert_eq!(all.len(), MOST);
            let mut seen = BTreeSet::new();
            for text in &all {
                let length = text.len();
                prop_assert!((2..=LONGEST + 4).contains(&length), "{}", text);
                prop_assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c)));
                prop_assert!(text.starts_with(|c: char| c.is_ascii_alphanumeric()));
                prop_assert!(text.ends_with(|c: char| c.is_ascii_alphanumeric()));
                for bad in ["..", "--", "__", ".-", "-.", "._", "_.", "-_", "_-"] {
                    prop_assert!(!text.contains(bad), "{}", text);
                }
                prop_assert!(!text.ends_with(".git") && !text.ends_with(".atom") && !RESERVED.contains(&text.as_str()));
                prop_assert!(seen.insert(text.to_lowercase()), "{} twice", text);
            }
        }
    }
}
