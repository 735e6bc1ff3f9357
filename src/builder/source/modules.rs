//! Submodules: which repository belongs to which folder. The file that says so is written by whoever pushes.

use std::collections::HashMap;

/// Bytes of a `.gitmodules` that is read.
pub(super) const MAX_FILE: u64 = 1024 * 1024;
/// Submodules within one another.
pub(super) const MAX_DEPTH: usize = 5;
/// Submodules of a source, all together.
pub(super) const MAX_COUNT: usize = 50;

/// The addresses by folder, out of what `git config -z --list` prints for a `.gitmodules`: a key, a line end, a value, a
/// NUL. Names of submodules tie the two together and are of no other use.
pub(super) fn addresses(listed: &[u8]) -> HashMap<Vec<u8>, String> {
    let mut paths: HashMap<&[u8], &[u8]> = HashMap::new();
    let mut urls: HashMap<&[u8], &[u8]> = HashMap::new();
    for pair in listed.split(|byte| *byte == 0) {
        let Some(end) = pair.iter().position(|byte| *byte == b'\n') else { continue };
        let (key, value) = (&pair[..end], &pair[end + 1..]);
        let Some(key) = key.strip_prefix(b"submodule.") else { continue };
        if let Some(name) = key.strip_suffix(b".path") {
            paths.insert(name, value.strip_suffix(b"/").unwrap_or(value));
        } else if let Some(name) = key.strip_suffix(b".url") {
            urls.insert(name, value);
        }
    }
    let known = paths.into_iter().filter_map(|(name, path)| {
        let url = std::str::from_utf8(urls.get(name)?).ok()?;
        Some((path.to_vec(), url.to_owned()))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_addresses_come_together_by_name() {
        let listed = b"submodule.lib.path\nvendor/lib\0submodule.lib.url\n../lib.git\0submodule.lib.update\n!touch x\0\
                       submodule.--upload-pack=x.path\n-x\0submodule.--upload-pack=x.url\n--upload-pack=touch x\0\
                       submodule.a.b/c.url\nhttps://example.com/x\ny\0submodule.a.b/c.path\nd/\0submodule.alone.path\nz\0\
                       core.pager\nevil\0submodule.bad.path\nq\0submodule.bad.url\n\xff\0novalue\0";
        let found = addresses(listed);
        assert_eq!(found.len(), 3);
        assert_eq!(found[&b"vendor/lib".to_vec()], "../lib.git");
        assert_eq!(found[&b"-x".to_vec()], "--upload-pack=touch x");
        assert_eq!(found[&b"d".to_vec()], "https://example.com/x\ny");
    }
}
