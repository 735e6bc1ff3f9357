//! Tools that look at an image, which is in a registry: its archive comes from whoever can read that.

use async_trait::async_trait;
use kiops::scanner::run::ImageSource;

use super::*;

/// Knows one image.
struct OneImage;

#[async_trait]
impl ImageSource for OneImage {
    async fn save(&self, image: &str, to: &Path, most: u64) -> Result<(), ScanError> {
        std::fs::write(to, format!("{image}, at most {most}")).unwrap();
        Ok(())
    }
}

/// Does not come to an end.
struct Endless;

#[async_trait]
impl ImageSource for Endless {
    async fn save(&self, _: &str, _: &Path, _: u64) -> Result<(), ScanError> {
        std::future::pending().await
    }
}

const LOOKED_AT: &str = "registry.test/acme/shop@sha256:d";

async fn run(place: &Place, tool: &Tool, images: Option<&dyn ImageSource>) -> Result<String, ScanError> {
    let (lines, report) = (Lines::default(), place.report());
    let job = Job { images, ..place.job(tool, &report) };
    place.runner.run(&job, &lines).await?;
    Ok(std::fs::read_to_string(&report).unwrap())
}

#[tokio::test]
async fn a_tool_in_an_image_is_sent_the_archive_and_a_process_reads_it_here() {
    let mut place = Place::new(ends(0, &[]));
    place.target = Target { image: Some(LOOKED_AT.to_owned()), ..Target::default() };
    let text = format!("{LOOKED_AT}, at most {}", 64 << 20);
    let tool = Tool { command: ["probe", "{image}", "{report}"].map(str::to_owned).to_vec(), ..probe() };
    assert_eq!(run(&place, &tool, Some(&OneImage)).await.unwrap(), REPORT);
    let sent = place.double.inputs("given").remove(0);
    let mut archive = tar::Archive::new(sent.as_slice());
    let entry =
        archive.entries().unwrap().map(Result::unwrap).find(|entry| entry.path_bytes().as_ref() == b"image.tar");
    let mut found = String::new();
    std::io::Read::read_to_string(&mut entry.unwrap(), &mut found).unwrap();
    assert_eq!(found, text);

    let copies = ["cp", "{image}", "{report}"].map(str::to_owned).to_vec();
    let process = Tool { image: None, command: copies, ..probe() };
    place.double.take_asked();
    assert_eq!(run(&place, &process, Some(&OneImage)).await.unwrap(), text);
    assert!(place.double.take_asked().is_empty());
    let error = run(&place, &process, None).await.unwrap_err();
    assert!(matches!(&error, ScanError::Missing(why) if why.contains("nothing is there that has it")), "{error}");
}

#[tokio::test]
async fn an_image_that_does_not_come_takes_no_longer_than_the_tool_may() {
    let mut place = Place::new(ends(0, &[]));
    place.target = Target { image: Some(LOOKED_AT.to_owned()), ..Target::default() };
    let command = ["probe", "{image}", "{report}"].map(str::to_owned).to_vec();
    let tool = Tool { timeout: Duration::from_secs(1), command, ..probe() };
    let error = run(&place, &tool, Some(&Endless)).await.unwrap_err();
    assert!(matches!(error, ScanError::TimedOut(_)), "{error}");
}
