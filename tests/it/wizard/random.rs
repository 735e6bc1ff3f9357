//! Trees at random, made of the names that the wizard looks for and of pieces of what it looks for in them.

use kiops::builder::wizard::{Tree, plan};
use proptest::prelude::*;

use super::dockerfile::assert_keeps_the_rules;
use super::fixtures;
use super::memory::Memory;

/// The paths and contents of all fixtures.
fn pieces() -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut paths, mut contents) = (Vec::new(), Vec::new());
    for (_, folder) in fixtures() {
        let mut waiting = vec![folder.clone()];
        while let Some(next) = waiting.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    paths.push(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
                    contents.push(std::fs::read(path).unwrap());
                }
            }
        }
    }
    (paths, contents)
}

/// A file as it is, cut, with bytes changed, with another's content, or of nothing but noise.
fn content(contents: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let whole = prop::sample::select(contents);
    let changed = (whole.clone(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6));
    prop_oneof![
        4 => whole.clone(),
        2 => (whole.clone(), any::<prop::sample::Index>()).prop_map(|(mut text, at)| {
            text.truncate(at.index(text.len() + 1));
            text
        }),
        3 => changed.prop_map(|(mut text, changes)| {
            let length = text.len();
            for (at, byte) in changes.iter().filter(|_| length > 0) {
                text[at.index(length)] = *byte;
            }
            text
        }),
        1 => (whole.clone(), whole).prop_map(|(a, b)| [a, b].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn no_tree_breaks_it(files in {
        let (paths, contents) = pieces();
        let noise = prop::string::string_regex("[a-z./\\\\ \\$\u{e4}-]{1,12}").unwrap();
        let path = prop_oneof![9 => prop::sample::select(paths), 1 => noise];
        prop::collection::vec((path, content(contents)), 0..14)
    }) {
        let mut memory = Memory::default();
        files.iter().for_each(|(path, content)| memory.insert(path, content));
        let found = plan(&Tree::new(&memory));
        prop_assert_eq!(&found, &plan(&Tree::new(&memory)));
        for path in memory.asked.borrow().iter() {
            prop_assert!(path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", path);
        }
        prop_assert_eq!(found.language.is_some(), found.dockerfile.is_some());
        prop_assert!(found.language.is_none() || found.subfolders.is_empty());
        if let Some(text) = &found.dockerfile {
            assert_keeps_the_rules("at random", text);
        }
    }

    #[test]
    fn no_project_file_breaks_its_detector(at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let fixtures = fixtures();
        let mut memory = Memory::of_folder(&fixtures[at.index(fixtures.len())].1);
        let (path, mut content) = memory.nth(cut.index(1_000));
        if !content.is_empty() {
            let at = cut.index(content.len());
            content[at] = byte;
        }
        memory.insert(&path, &content);
        if let Some(text) = plan(&Tree::new(&memory)).dockerfile {
            assert_keeps_the_rules(&path, &text);
        }
    }
}
