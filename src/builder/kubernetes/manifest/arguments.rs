//! What `buildctl` is told, one argument for each thing.

use super::build::{RESULT_FOLDER, SECRET_FOLDER, SOURCE_FOLDER};
use crate::builder::BuildRequest;
use crate::builder::buildkit::DOCKERFILE;
use crate::cluster::literal;

/// The tag under which a repository keeps the cache of its builds.
const CACHE: &str = "buildcache";

/// The program of BuildKit's image that starts its daemon, has it build and ends it. It is a script that hands its
/// arguments on as they are.
pub(super) const PROGRAM: &str = "buildctl-daemonless.sh";

/// The key of a secret argument in the Secret: its name could be none of a file.
pub(super) fn key(index: usize) -> String {
    format!("secret-{index}")
}

/// Only the layers of the image go into the cache: whoever may pull the image may read the cache, and the layers of other
/// stages hold what was left out of the image on purpose.
pub(super) fn arguments(request: &BuildRequest) -> Vec<String> {
    let image = format!("{}:{}", request.repository, request.tag);
    let cache = format!("ref={}:{CACHE}", request.repository);
    let mut words = Words::default();
    words.plain("build");
    // The account of the engine's BuildKit, as JSON: <https://github.com/moby/buildkit/blob/v0.32.2/client/graph.go>.
    words.pair("--progress", "rawjson");
    words.pair("--frontend", "dockerfile.v0");
    words.pair("--local", &format!("context={SOURCE_FOLDER}/context"));
    words.pair("--local", &format!("dockerfile={SOURCE_FOLDER}/dockerfile"));
    words.pair("--opt", &format!("filename={DOCKERFILE}"));
    if let Some(target) = &request.target {
        words.pair("--opt", &format!("target={target}"));
    }
    if let Some(platform) = request.platforms.first() {
        words.pair("--opt", &format!("platform={platform}"));
    }
    for (name, value) in &request.args {
        words.pair("--opt", &format!("build-arg:{name}={value}"));
    }
    for (name, value) in &request.labels {
        words.pair("--opt", &format!("label:{name}={value}"));
    }
    for (index, (name, _)) in request.secrets.iter().enumerate() {
        let file = format!("src={SECRET_FOLDER}/{}", key(index));
        words.pair("--secret", &fields(&[&format!("id={name}"), &file]));
    }
    words.pair("--output", &fields(&["type=image", &format!("name={image}"), "push=true"]));
    // A registry that takes images and no caches, or one that is slow, fails no build.
    words.pair("--export-cache", &fields(&["type=registry", &cache, "ignore-error=true"]));
    words.pair("--import-cache", &fields(&["type=registry", &cache]));
    words.pair("--metadata-file", &format!("{RESULT_FOLDER}/metadata.json"));
    words.0
}

/// `buildctl`'s own lists are lines of CSV.
fn fields(fields: &[&str]) -> String {
    let quoted = |field: &&str| match field.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => (*field).to_owned(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// Arguments of a container.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn plain(&mut self, word: &str) {
        self.0.push(literal(word));
    }

    /// An option and its value as two arguments: the second is never taken for an option, whatever it begins with.
    fn pair(&mut self, option: &str, value: &str) {
        self.plain(option);
        self.plain(value);
    }
}
