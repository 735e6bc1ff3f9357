//! Images under the names of official ones, made of what this machine has installed: nothing can be pulled where the
//! tests run. They are laid out as the official ones are where a Dockerfile relies on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{engine, skip};

/// A file system in the making: busybox with its links, then programs with the libraries that they load.
struct Root {
    folder: tempfile::TempDir,
}

impl Root {
    fn new() -> Self {
        let root = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["bin", "etc", "tmp", "usr/bin", "usr/local/bin", "var/log"] {
            fs::create_dir_all(root.at(folder)).unwrap();
        }
        fs::set_permissions(root.at("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/bin/busybox", root.at("bin/busybox")).expect("busybox-static is installed");
        for applet in printed("/bin/busybox", &["--list"]).lines().filter(|name| *name != "busybox") {
            symlink("busybox", root.at("bin").join(applet)).unwrap();
        }
        root
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// A program where it is, and its libraries where the loader looks for them.
    fn program(&self, path: &str) {
        self.copy(path);
        self.libraries(path);
    }

    fn libraries(&self, path: &str) {
        for library in printed("ldd", &[path]).split_whitespace().filter(|word| word.starts_with('/')) {
            let library = library.trim_end_matches(':');
            if !self.at(library).exists() {
                self.copy(library);
            }
        }
    }

    /// A file or a folder where it is; what links point to takes their place.
    fn copy(&self, path: &str) {
        let target = self.at(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let copied = Command::new("cp").args(["-rL", "--", path]).arg(target).status().unwrap();
        assert!(copied.success(), "{path}");
    }

    fn write(&self, path: &str, content: &str) {
        let target = self.at(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Builds it under each of the names.
    fn build(&self, host: &str, tags: &[&str]) {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let dockerfile = format!("FROM scratch\nCOPY root/ /\nENV PATH={path}\n");
        fs::write(self.folder.path().join("Dockerfile"), dockerfile).unwrap();
        for tag in tags {
            engine::build_folder(host, tag, self.folder.path());
        }
    }
}

/// nginx with the paths and the configuration of the official image; false after saying that the test is skipped.
pub fn nginx(test: &str, host: &str, tag: &str) -> bool {
    if !Path::new("/usr/sbin/nginx").exists() {
        skip(test, "nginx");
        return false;
    }
    let root = Root::new();
    root.program("/usr/sbin/nginx");
    root.copy("/etc/nginx/mime.types");
    // As the official image has it, so that what the Dockerfile changes in it is there.
    root.write(
        "/etc/nginx/nginx.conf",
        "\nuser  nginx;\nworker_processes  auto;\n\nerror_log  /var/log/nginx/error.log notice;\n\
         pid        /run/nginx.pid;\n\n\nevents {\n    worker_connections  1024;\n}\n\n\nhttp {\n    \
         include       /etc/nginx/mime.types;\n    default_type  application/octet-stream;\n\n    \
         access_log  /var/log/nginx/access.log;\n\n    sendfile        on;\n    keepalive_timeout  65;\n\n    \
         include /etc/nginx/conf.d/*.conf;\n}\n",
    );
    root.write("/etc/nginx/conf.d/default.conf", "server { listen 80; root /usr/share/nginx/html; }\n");
    root.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnginx:x:101:101:nginx:/var/cache/nginx:/sbin/nologin\n");
    root.write("/etc/group", "root:x:0:\nnginx:x:101:nginx\n");
    root.write("/usr/share/nginx/html/index.html", "Welcome to nginx!\n");
    root.write("/usr/share/nginx/html/50x.html", "An error occurred.\n");
    fs::create_dir_all(root.at("/var/cache/nginx")).unwrap();
    fs::create_dir_all(root.at("/run")).unwrap();
    // Debian's program keeps its buffers elsewhere than the official image's.
    root.link("/var/lib/nginx", "/var/cache/nginx");
    root.link("/var/log/nginx/access.log", "/dev/stdout");
    root.link("/var/log/nginx/error.log", "/dev/stderr");
    root.build(host, &[tag]);
    true
}

/// Python with its standard library and pip; false after saying that the test is skipped.
pub fn python(test: &str, host: &str, tags: &[&str]) -> bool {
    let python = "/usr/bin/python3";
    let there = Command::new(python)
        .args(["-m", "ensurepip", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        skip(test, "python");
        return false;
    }
    let about = "import sysconfig as s; print(s.get_path('stdlib'), s.get_config_var('WHEEL_PKG_DIR') or '')";
    let root = Root::new();
    root.program(python);
    root.link("/usr/bin/python", "python3");
    for folder in printed(python, &["-c", about]).split_whitespace() {
        root.copy(folder);
        let modules = printed("find", &[folder, "-path", "*/lib-dynload/*.so"]);
        modules.lines().for_each(|module| root.libraries(module));
    }
    root.build(host, tags);
    true
}

/// Node with npm; false after saying that the test is skipped.
pub fn node(test: &str, host: &str, tags: &[&str]) -> bool {
    let modules = ["/usr/lib/node_modules/npm", "/usr/local/lib/node_modules/npm"];
    let node = ["/usr/bin/node", "/usr/local/bin/node"].into_iter().find(|path| Path::new(path).exists());
    let (Some(node), Some(npm)) = (node, modules.into_iter().find(|path| Path::new(path).exists())) else {
        skip(test, "node");
        return false;
    };
    let root = Root::new();
    root.program(node);
    root.copy(npm);
    root.write("/usr/bin/npm", &format!("#!/bin/sh\nexec node {npm}/bin/npm-cli.js \"$@\"\n"));
    fs::set_permissions(root.at("/usr/bin/npm"), fs::Permissions::from_mode(0o755)).unwrap();
    root.build(host, tags);
    true
}

/// What a program prints; nothing where it fails, as `ldd` does for a program without libraries.
fn printed(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
