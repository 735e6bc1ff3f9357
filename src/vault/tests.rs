#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

fn vault(byte: u8) -> Vault {
    Vault::open(Keys::new(Key::new([byte; 32]), vec![]))
}

fn read(vault: &Vault, sealed: &Sealed, context: &str) -> Result<String, VaultError> {
    vault.unseal(sealed, context).map(|s| s.expose_secret().to_owned())
}

proptest! {
    #[test]
    fn comes_back_only_where_it_belongs(text in any::<String>(), bit in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let vault = vault(1);
        let sealed = vault.seal(&text.clone().into(), "t:c:1:o").unwrap();
        prop_assert_eq!(read(&vault, &sealed, "t:c:1:o"), Ok(text));
        prop_assert_eq!(read(&vault, &sealed, "t:c:2:o"), Err(VaultError::Tampered));
        let mut flipped = sealed.clone();
        let at = bit.index(flipped.blob.len() * 8);
        flipped.blob[at / 8] ^= 1 << (at % 8);
        prop_assert_eq!(read(&vault, &flipped, "t:c:1:o"), Err(VaultError::Tampered));
        let mut short = sealed.clone();
        short.blob.truncate(cut.index(sealed.blob.len()));
        prop_assert!(read(&vault, &short, "t:c:1:o").is_err());
    }
}

#[test]
fn errors_say_which() {
    let secret = SecretString::from("x");
    let sealed = vault(1).seal(&secret, "c").unwrap();
    assert_eq!(read(&vault(2), &sealed, "c"), Err(VaultError::UnknownKey(sealed.key_id.clone())));
    let none = Vault::open(Keys::none());
    assert_eq!(none.seal(&secret, "c").err(), Some(VaultError::NoKey));
    assert_eq!(read(&none, &sealed, "c"), Err(VaultError::NoKey));
    let cut = Sealed { blob: sealed.blob[..39].to_vec(), ..sealed.clone() };
    assert_eq!(read(&vault(1), &cut, "c"), Err(VaultError::Truncated));
    let rotated = Vault::open(Keys::new(Key::new([2; 32]), vec![Key::new([1; 32])]));
    assert_eq!(read(&rotated, &sealed, "c").as_deref(), Ok("x"));
    assert_ne!(rotated.seal(&secret, "c").unwrap().key_id, sealed.key_id);
}

#[test]
fn key_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/secret.key");
    let made = create_key_file(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Key::from_file(&path).unwrap().id(), made.id());
    assert!(matches!(create_key_file(&path), Err(KeyError::Io { .. })));
    assert_eq!(dir.path().join("data").read_dir().unwrap().count(), 1, "no part of it is left");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Key::from_file(&path), Err(KeyError::Open(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "c2hvcnQ=").unwrap();
    assert!(matches!(Key::from_file(&path), Err(KeyError::NoKey(_))));
}

#[test]
fn keys_that_are_turned_meanwhile_are_read_and_the_old_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("secret.key"), dir.path().join("secret.old.key"));
    create_key_file(&path).unwrap();
    let open = |previous: Vec<std::path::PathBuf>| {
        let source = path.clone();
        let read = move || Keys::from_files(&source, &previous);
        Vault::open(read().unwrap()).with_source(read)
    };
    let running = open(vec![]);
    let secret = SecretString::from("x");
    let first = running.seal(&secret, "c").unwrap();

    std::fs::rename(&path, &old).unwrap();
    create_key_file(&path).unwrap();
    let rotating = open(vec![old.clone()]);
    assert_eq!(read(&rotating, &first, "c").as_deref(), Ok("x"));
    let second = rotating.seal(&secret, "c").unwrap();
    assert_ne!(first.key_id, second.key_id);
    assert_eq!(running.seal(&secret, "c").unwrap().key_id, first.key_id, "nobody has told it yet");
    assert_eq!(read(&running, &second, "c").as_deref(), Ok("x"));
    assert_eq!(running.current_key_id(), Some(second.key_id.clone()));
    assert_eq!(read(&running, &first, "c").as_deref(), Ok("x"), "what it could read it still can");

    std::fs::remove_file(&old).unwrap();
    std::fs::remove_file(&path).unwrap();
    create_key_file(&path).unwrap();
    let third = open(vec![]).seal(&secret, "c").unwrap();
    let unknown = "0000000000000000";
    assert_eq!(running.seal_with(unknown, &secret, "c"), Err(VaultError::UnknownKey(unknown.to_owned())));
    assert_eq!(running.seal_with(&third.key_id, &secret, "c").unwrap().key_id, third.key_id);
    assert_eq!(running.seal_with(&first.key_id, &secret, "c").unwrap().key_id, first.key_id, "it still has it");
    // Files that can't be read take nothing away.
    std::fs::remove_file(&path).unwrap();
    assert!(!running.knows(unknown));
    assert_eq!(read(&running, &third, "c").as_deref(), Ok("x"));
}

#[test]
fn as_a_text_and_back() {
    let sealed = vault(1).seal(&"x".into(), "c").unwrap();
    assert_eq!(sealed.to_string().parse(), Ok(sealed));
    for text in ["", "0123456789abcdef", "0123456789abcdef:%%"] {
        assert_eq!(text.parse::<Sealed>(), Err(VaultError::Truncated));
    }
}
