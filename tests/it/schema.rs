//! The SDL is data: what each kind of caller sees is a file, so that a review sees every change of it.

use kiops::graphql::{schemas, sdl};

#[test]
fn schema_graphql_is_what_an_admin_sees() {
    let file = include_str!("../../schema.graphql");
    assert!(sdl() == file, "schema.graphql is out of date. Renew it: cargo run -- schema > schema.graphql");
}

/// Nothing that only admins may know belongs in this file. Renew it with
/// `INSTA_UPDATE=always cargo test --test it a_members_sdl` and read the difference.
#[test]
fn a_members_sdl_is_the_snapshot() {
    insta::assert_snapshot!("member", schemas(None).member.sdl());
}
