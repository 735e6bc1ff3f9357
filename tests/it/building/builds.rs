//! What comes out of a build, and what is said when nothing does.

use super::*;

#[tokio::test]
async fn arguments_labels_and_steps_arrive() {
    let Some(place) = Place::new("arguments_labels_and_steps_arrive") else { return };
    place.file("app/hello.txt", "hello");
    let mut request = place.request(
        "ARG GREETING\nRUN echo \"said $GREETING\" && echo \"to err\" >&2\nCOPY . /all\n\
         RUN echo $GREETING > /greeting",
    );
    request.args = vec![("GREETING".into(), "good & day=1".into())];
    request.labels = vec![("org.opencontainers.image.revision".into(), "abc".into())];
    let (image, lines) = place.built(&request).await;
    assert!(image.id.starts_with("sha256:"), "{}", image.id);
    assert!(place.builder.holds(&image.id).await.unwrap());
    assert!(lines.has(Output::Stdout, "said good & day=1"), "{}", lines.text());
    assert!(lines.has(Output::Stderr, "to err"), "{}", lines.text());
    assert!(lines.has(Output::System, "[2/4] RUN echo"), "{}", lines.text());
    assert!(
        lines.has(Output::System, "no limits of memory, CPU or processes; the time limit of 2m holds"),
        "{}",
        lines.text()
    );
    assert_eq!(place.run(&image, "busybox cat /greeting /all/app/hello.txt"), "good & day=1\nhello");
    // The Dockerfile is not part of what is copied, and nothing of ours is.
    assert_eq!(place.run(&image, "busybox find /all -type f"), "/all/app/hello.txt");
    assert_eq!(
        place.docker(&["inspect", "--format", "{{json .Config.Labels}}", &image.id]),
        r#"{"org.opencontainers.image.revision":"abc"}"#
    );
    let info = place.builder.info().await.unwrap();
    assert!(!info.version.is_empty() && info.engine_id.is_some(), "{info:?}");
}

#[tokio::test]
async fn many_and_large_files_arrive_whole() {
    let Some(place) = Place::new("many_and_large_files_arrive_whole") else { return };
    for number in 0..3000 {
        place.file(&format!("many/{}/{number}.txt", number % 7), &number.to_string());
    }
    place.file("large", &"0123456789abcdef".repeat(2 << 20));
    place.file("empty", "");
    std::os::unix::fs::symlink("many/3", place.context.path().join("link")).unwrap();
    let mut request = place.request("COPY . /all");
    request.max_context_bytes = 100 << 20;
    let (image, _) = place.built(&request).await;
    let seen = place.run(
        &image,
        "busybox find /all/many -type f | busybox wc -l; busybox wc -c < /all/large; busybox readlink /all/link; \
         busybox cat /all/link/2005.txt; busybox stat -c %u:%g:%Y:%a /all/empty",
    );
    assert_eq!(seen, "3000\n33554432\nmany/3\n20050:0:946684800:644");
}

#[tokio::test]
async fn the_target_is_what_is_built() {
    let Some(place) = Place::new("the_target_is_what_is_built") else { return };
    let mut request = place.request(
        "RUN echo first > /stage\nFROM kiops-test/base:1 AS second\nRUN echo second > /stage\n\
         FROM kiops-test/base:1\nRUN echo last-of-all; false",
    );
    request.target = Some("second".into());
    let (image, lines) = place.built(&request).await;
    assert_eq!(place.run(&image, "busybox cat /stage"), "second");
    assert!(!lines.text().contains("last-of-all"));
    request.target = Some("third".into());
    let (error, _) = place.failed(&request).await;
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("third")), "{error:?}");
}

#[tokio::test]
async fn what_dockerignore_names_is_not_there() {
    let Some(place) = Place::new("what_dockerignore_names_is_not_there") else { return };
    for name in ["src/main.txt", "node_modules/a/b", "notes.md", "README.md", "Dockerfile"] {
        place.file(name, "x");
    }
    let mut request = place.request("COPY . /all");
    request.dockerignore = Some("node_modules\n*.md\n!README.md\nDockerfile\n".into());
    let (image, _) = place.built(&request).await;
    let files = |image| place.run(image, "cd /all && busybox find . -type f | busybox sort");
    assert_eq!(files(&image), "./README.md\n./src/main.txt");
    // The context's own rules come first, and leave themselves in.
    place.file(".dockerignore", "src\n");
    let (image, _) = place.built(&request).await;
    assert_eq!(files(&image), "./.dockerignore\n./Dockerfile\n./README.md\n./node_modules/a/b\n./notes.md");
    request.max_context_bytes = 10;
    let (error, _) = place.failed(&request).await;
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("larger than 10 bytes")), "{error:?}");
}

#[tokio::test]
async fn the_same_again_comes_from_the_cache() {
    let Some(place) = Place::new("the_same_again_comes_from_the_cache") else { return };
    let unique = &place.mark.run_id;
    place.file("a.txt", unique);
    // A base image that no other test makes again meanwhile.
    let base = format!("kiops-test/{unique}-base:1");
    engine::build(&place.host, &base, "");
    let mut request = place.request("");
    request.dockerfile = format!("FROM {base}\nRUN echo {unique} > /one\nCOPY a.txt /\nRUN echo ran > /two\n");
    let (first, lines) = place.built(&request).await;
    assert!(!lines.has(Output::System, "[4/4] RUN echo ran > /two (cached)"), "{}", lines.text());
    let (second, lines) = place.built(&request).await;
    for step in ["[2/4] RUN echo", "[3/4] COPY a.txt", "[4/4] RUN echo ran"] {
        let cached = |line: &(Output, String)| line.1.starts_with(step) && line.1.ends_with("(cached)");
        assert!(lines.0.lock().unwrap().iter().any(cached), "{step}\n{}", lines.text());
    }
    assert_eq!(first, second);
    // Another file of the same length and time is another file.
    place.file("a.txt", &unique.replace("run", "nur"));
    let (third, _) = place.built(&request).await;
    assert_ne!(first, third);
    assert_eq!(place.run(&third, "busybox cat /a.txt"), unique.replace("run", "nur"));
    place.docker(&["rmi", "--force", &base]);
}

#[tokio::test]
async fn runs_of_a_service_share_the_engines_copy_of_the_context_and_each_gets_its_own_files() {
    let Some(mut place) = Place::new("runs_of_a_service_share_the_engines_copy_of_the_context") else { return };
    let first = place.mark.run_id.clone();
    for number in 0..5 {
        // As long as the one before, and of the same second.
        place.file("a.txt", &format!("content-{number}"));
        place.file(&format!("only-{number}.txt"), "x");
        let _ = fs::remove_file(place.context.path().join(format!("only-{}.txt", number - 1)));
        place.mark.run_id = format!("{first}-{number}");
        let mut request = place.request("COPY . /all");
        request.repository = Repository::parse(&format!("kiops-test/{first}")).unwrap();
        let (image, _) = place.built(&request).await;
        assert_eq!(place.run(&image, "busybox cat /all/a.txt"), format!("content-{number}"));
        assert_eq!(place.run(&image, "busybox ls /all"), format!("a.txt\nonly-{number}.txt"));
    }
    place.mark.run_id = first;
}

#[tokio::test]
async fn a_failure_names_the_step_and_its_last_line() {
    let Some(place) = Place::new("a_failure_names_the_step_and_its_last_line") else { return };
    let (error, lines) =
        place.failed(&place.request("RUN echo going; busybox sleep 1; echo '2 tests failed' >&2; exit 7")).await;
    let BuilderError::Failed(why) = &error else { panic!("{error:?}") };
    assert_eq!(why, "RUN echo going; busybox sleep 1; echo '2 tests failed' >&2; exit 7: exit code 7: 2 tests failed");
    assert!(lines.has(Output::Stdout, "going"), "{}", lines.text());

    let (error, _) = place.failed(&place.request("COPY missing.txt /")).await;
    assert!(matches!(&error, BuilderError::Failed(why) if why.starts_with("COPY missing.txt /: ")), "{error:?}");

    let mut request = place.request("");
    request.dockerfile = "FORM nothing\n".into();
    let (error, _) = place.failed(&request).await;
    assert!(
        matches!(&error, BuilderError::Refused(why) if why.contains("FORM") && why.contains("# syntax=")),
        "{error:?}"
    );

    request.dockerfile = String::new();
    let (error, _) = place.failed(&request).await;
    assert!(matches!(&error, BuilderError::Refused(why) if why.contains("empty")), "{error:?}");

    request.dockerfile = "FROM 127.0.0.1:1/no/such:1\nRUN true\n".into();
    let (error, _) = place.failed(&request).await;
    let BuilderError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.starts_with("FROM 127.0.0.1:1/no/such:1: ") && why.contains("refused"), "{why}");
    assert_eq!(place.left(), "");
}

#[tokio::test]
async fn a_flood_of_output_costs_neither_time_nor_memory() {
    let Some(place) = Place::new("a_flood_of_output_costs_neither_time_nor_memory") else { return };
    let unique = &place.mark.run_id;
    let flood = format!(
        "RUN echo {unique}; busybox yes | busybox head -c 300000000\n\
         RUN busybox head -c 100000000 /dev/zero | busybox tr '\\0' x\n\
         RUN busybox printf 'a\\033]0;title\\007b\\033[31mred\\n\\377\\376 end\\n'"
    );
    let before = memory();
    let (image, lines) = place.built(&place.request(&flood)).await;
    assert!(place.builder.holds(&image.id).await.unwrap());
    let all = lines.0.lock().unwrap();
    let bytes: usize = all.iter().map(|(_, text)| text.len()).sum();
    println!("{} lines, {bytes} bytes, {} MiB more memory", all.len(), memory().saturating_sub(before) >> 20);
    assert!(bytes < 32 << 20, "{bytes} bytes of log");
    assert!(all.iter().all(|(_, text)| text.len() <= 16 * 1024 + 8 && !text.contains(['\u{1b}', '\n'])));
    assert!(all.iter().any(|(_, text)| text == "abred"));
    // An engine cuts what a step prints, and says so itself.
    assert!(all.iter().any(|(_, text)| text.contains("output clipped")), "nothing is said");
    assert!(memory().saturating_sub(before) < 256 << 20);
}

#[tokio::test]
async fn an_engine_that_is_away_is_unreachable() {
    let connection = EngineConnection { host: "unix:///nowhere/docker.sock".into(), tls: None };
    let builder = DockerBuilders::new().connect(&connection).unwrap();
    assert!(matches!(builder.info().await, Err(BuilderError::Unreachable(_))));
    assert!(matches!(builder.clear("x").await, Err(BuilderError::Unreachable(_))));
}

#[tokio::test]
async fn a_name_is_forgotten_and_then_the_image() {
    let Some(place) = Place::new("a_name_is_forgotten_and_then_the_image") else { return };
    let request = place.request(&format!("RUN echo {} > /x", place.mark.run_id));
    let (image, _) = place.built(&request).await;
    let forget = || place.builder.forget(&request.repository, &request.tag);
    forget().await.unwrap();
    assert!(!place.builder.holds(&image.id).await.unwrap());
    // Again, there is nothing to forget.
    forget().await.unwrap();
}

/// Bytes that this process holds.
fn memory() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
