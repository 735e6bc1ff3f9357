//! What a container can't do.

use std::net::TcpListener;

use super::*;

#[tokio::test]
async fn it_can_write_to_few_places_only() {
    let Some(place) = Place::on_engine("it_can_write_to_few_places_only") else { return };
    let text = "for f in / /bin /etc /kiops /kiops/source /kiops/files /kiops/out /tmp /home/kiops; do \
                busybox touch $f/x 2>/dev/null && echo $f; done; echo \"who $(busybox id -u)\"; \
                busybox chmod 777 \"$2\" && echo changed; busybox rm \"$2/main.py\" && echo removed; \
                busybox mount -o remount,rw / && echo remounted; echo x > \"$1\"";
    let (_, lines) = place.report(&boxed(text)).await;
    let did: Vec<String> = lines.all().into_iter().filter(|line| !line.contains(": ")).collect();
    // The volume's own folder is root's, whoever it is that copies into it.
    assert_eq!(did, ["/kiops", "/kiops/out", "/tmp", "/home/kiops", "who 0"]);
}

#[tokio::test]
async fn it_has_no_rights_and_its_limits() {
    let Some(place) = Place::on_engine("it_has_no_rights_and_its_limits") else { return };
    let text = "busybox grep -E '^(Cap|NoNewPrivs)' /proc/self/status; busybox env; busybox cat /proc/mounts; \
                ulimit -c; echo x > \"$1\"";
    let (_, lines) = place.report(&boxed(text)).await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(lines.has(&format!("{set}:\t0000000000000000")), "{set}\n{}", lines.text());
    }
    assert!(lines.has("NoNewPrivs:\t1") && lines.has("HOME=/home/kiops") && lines.has("TMPDIR=/tmp"));
    assert!(!lines.has("docker.sock"), "{}", lines.text());
}

#[tokio::test]
async fn memory_of_a_container_has_its_limit() {
    let Some(place) = Place::on_engine("memory_of_a_container_has_its_limit") else { return };
    let probe = Tool { memory: 32 << 20, ..boxed("x=0123456789abcdef; while :; do x=$x$x; done") };
    let (failure, _) = place.failure(&probe).await;
    let why = "probe was killed: it wanted more than 32 MiB (scan.tools.probe.memory)";
    assert_eq!(failure, ScanError::Failed(why.to_owned()));
    // What is written to /tmp counts: whoever writes is killed, and perhaps the shell, which has no more either.
    let text = "busybox head -c 100000000 /dev/zero > /tmp/x && echo x > \"$1\"";
    let probe = Tool { memory: 32 << 20, ..boxed(text) };
    assert!(place.run(&probe).await.0.is_err());
    assert_eq!(place.left(), "");
}

/// Asks a server on this machine, which a container with a network reaches by its gateway.
fn fetch(port: u16) -> String {
    format!(
        "gate=$(busybox ip route | busybox awk '/^default/ {{ print $3 }}'); busybox ip addr; \
         for host in ${{gate:-10.214.0.1}} 127.0.0.1; do \
         echo hello | busybox nc -w 3 $host {port} && echo reached $host; done; echo x > \"$1\""
    )
}

/// Answers everybody with a line.
fn serve() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read as _, Write as _};
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"web\n");
        }
    });
    port
}

#[tokio::test]
async fn it_reaches_no_network_unless_the_tool_declares_it() {
    let Some(mut place) = Place::on_engine("it_reaches_no_network_unless_the_tool_declares_it") else { return };
    let port = serve();
    let (_, lines) = place.report(&boxed(&fetch(port))).await;
    assert!(!lines.has("reached") && !lines.has("eth0"), "{}", lines.text());
    let (_, lines) = place.report(&Tool { network: true, ..boxed(&fetch(port)) }).await;
    assert!(lines.has("reached") && lines.has("web"), "{}", lines.text());
    assert_eq!(place.left(), "");
    for join in ["host", "container:abc", "bridge"] {
        place.join = Some(Beside::Network(join.to_owned()));
        assert!(matches!(place.failure(&boxed("true")).await.0, ScanError::Failed(why) if why.contains(join)));
    }
}

#[tokio::test]
async fn it_reaches_the_service_whose_network_it_joins() {
    let Some(mut place) = Place::on_engine("it_reaches_the_service_whose_network_it_joins") else { return };
    let network = format!("kiops-test-{}", place.mark.scan_id);
    place.docker(&["network", "create", &network]);
    let serve = "echo web > /tmp/index.html; exec busybox httpd -f -p 8080 -h /tmp";
    let web = place.docker(&[
        "run",
        "--detach",
        "--network",
        &network,
        "--network-alias",
        "web",
        "--tmpfs",
        "/tmp",
        IMAGE,
        "/bin/sh",
        "-c",
        serve,
    ]);
    place.join = Some(Beside::Network(network.clone()));
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = place.docker(&["inspect", "--format", address, &web]);
    place.target.url = Some(format!("http://{address}:8080/"));
    // A static busybox resolves no names and knows no addresses of the web.
    let text = "host=${2#http://}; host=${host%:*}; \
                busybox printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 5 $host 8080 > \"$1\"";
    let probe = Tool {
        kind: ScanKind::Dast,
        image: Some(IMAGE.to_owned()),
        ..tool(&["/bin/sh", "-c", text, "sh", "{report}", "{url}"])
    };
    let (ran, lines) = place.run(&probe).await;
    place.docker(&["rm", "--force", &web]);
    // The network is the service's, and is there until it is removed.
    assert_eq!(place.docker(&["network", "rm", &network]), network);
    assert_eq!(ran.unwrap_or_else(|error| panic!("{error}\n{}", lines.text())).1.lines().last(), Some("web"));
    assert_eq!(place.left(), "");
}

#[tokio::test]
async fn a_declared_folder_can_be_read_and_not_written() {
    let Some(place) = Place::on_engine("a_declared_folder_can_be_read_and_not_written") else { return };
    let database = place.temp.path().join("database");
    fs::create_dir(&database).unwrap();
    fs::write(database.join("db"), "advisories\n").unwrap();
    let mounts = vec![(database.to_str().unwrap().to_owned(), "/db".to_owned())];
    let text = "busybox cat /db/db > \"$1\"; busybox touch /db/x && echo written; exit 0";
    let (report, lines) = place.report(&Tool { mounts, ..boxed(text) }).await;
    assert_eq!(report, "advisories\n");
    assert!(!lines.has("written") && !database.join("x").exists());
}
