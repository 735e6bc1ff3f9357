//! The .dockerignore that goes with a Dockerfile.

/// What no image needs, whatever the language: history, secrets of a developer's machine, editors, the recipe itself.
const ALWAYS: [&str; 14] = [
    ".git",
    ".gitignore",
    ".github",
    ".gitlab-ci.yml",
    ".dockerignore",
    "Dockerfile*",
    "docker-compose*.y*ml",
    "compose*.y*ml",
    ".env",
    "**/.env.local",
    "**/.env.*.local",
    ".idea",
    ".vscode",
    "**/.DS_Store",
];

/// The whole file.
pub fn dockerignore(of_language: &[&str]) -> String {
    let mut text = String::from("# What does not belong into the build context.\n");
    ALWAYS.iter().chain(of_language).for_each(|line| {
        text.push_str(line);
        text.push('\n');
    });
    text
}
