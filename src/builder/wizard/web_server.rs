//! Serving files that are ready: the last stage of single pages and static sites.

use super::dockerfile::Dockerfile;

/// What the server listens on; a port that needs no root.
pub const PORT: u16 = 8080;

const IMAGE: &str = "nginx:1.28-alpine";

/// What is answered for a path that is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The single page, whose script knows the path.
    IndexPage,
    /// 404.
    NotFound,
}

/// The last stage: nginx with the files of `copy`, the arguments of a COPY instruction without its target.
pub fn serve(dockerfile: &mut Dockerfile, copy: &str, missing: Missing) {
    let fallback = match missing {
        Missing::IndexPage => "/index.html",
        Missing::NotFound => "=404",
    };
    let site: Vec<String> = [
        "server {".to_owned(),
        format!("    listen {PORT};"),
        "    root /usr/share/nginx/html;".to_owned(),
        "    server_tokens off;".to_owned(),
        "    gzip on;".to_owned(),
        "    gzip_types text/css application/javascript application/json image/svg+xml;".to_owned(),
        format!("    location / {{ try_files $uri $uri/index.html $uri.html {fallback}; }}"),
        "}".to_owned(),
    ]
    .into();
    dockerfile
        .stage(IMAGE, "")
        .file("/etc/nginx/conf.d/default.conf", &site)
        .note("nginx runs without root: its pid and its buffers are where it may write.")
        .run(&[
            "sed -i -e '/^user /d' -e 's|^pid .*|pid /tmp/nginx.pid;|' /etc/nginx/nginx.conf",
            "rm -rf /usr/share/nginx/html/*",
            "chown -R 101:101 /var/cache/nginx",
        ])
        .add(&format!("COPY {copy} /usr/share/nginx/html/"))
        .add("USER 101:101")
        .add(&format!("EXPOSE {PORT}"))
        .add("CMD [\"nginx\", \"-g\", \"daemon off;\"]");
}
