//! Many who follow one log over WebSocket, as lean as can be, so that the server is what is measured.
//!
//! `listen HOST:PORT PATH TOKEN ID COUNT STALLED [SLOWEST]`: COUNT read all lines of the log of ID, until it is complete;
//! STALLED more subscribe and never read. A line's text is `line N …`. What was heard is printed as one object of JSON:
//! lines in all, how many were missing or out of turn, milliseconds from the first to the last, how long after its `at` a line
//! came (p50, p99).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Barrier;

/// Of so many lines one is asked when it came.
const SAMPLE: u64 = 16;

#[derive(Clone)]
struct Call {
    address: std::net::SocketAddr,
    path: String,
    token: String,
    id: String,
}

#[derive(Default)]
struct Heard {
    lines: u64,
    wrong: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    late: Vec<u32>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &'static str| arguments.next().context(name);
    let (address, path, token, id) = (next("HOST:PORT")?.parse()?, next("PATH")?, next("TOKEN")?, next("ID")?);
    let (count, stalled): (usize, usize) = (next("COUNT")?.parse()?, next("STALLED")?.parse()?);
    let call = Call { address, path, token, id };

    // Nobody reads what these are sent; they are held until all is over.
    let mut sleepers = Vec::new();
    for _ in 0..stalled {
        sleepers.push(subscribe(&call, Buffer::Smallest).await?);
    }
    let ready = Arc::new(Barrier::new(count + 1));
    let listeners: Vec<_> = (0..count).map(|_| tokio::spawn(listen(call.clone(), ready.clone()))).collect();
    ready.wait().await;
    // Whoever began this waits for the word before it has lines written.
    println!("ready");
    let mut all = Heard::default();
    for listener in listeners {
        let one = listener.await??;
        all.lines += one.lines;
        all.wrong += one.wrong;
        all.first = [all.first, one.first].into_iter().flatten().min();
        all.last = all.last.max(one.last);
        all.late.extend(one.late);
    }
    all.late.sort_unstable();
    let late = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let place = (all.late.len() as f64 * part) as usize;
        all.late.get(place.min(all.late.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    let took = all.last.zip(all.first).map_or(0, |(last, first)| last.duration_since(first).as_millis());
    println!(
        r#"{{"lines":{},"wrong":{},"milliseconds":{took},"p50":{},"p99":{}}}"#,
        all.lines,
        all.wrong,
        late(0.5),
        late(0.99)
    );
    drop(sleepers);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Buffer {
    Usual,
    Smallest,
}

/// Connects, says who it is and subscribes.
async fn subscribe(call: &Call, buffer: Buffer) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if buffer == Buffer::Smallest {
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(call.address).await?;
    let Call { address, path, token, id } = call;
    let hello = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(hello.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    send(&mut stream, r#"{"type":"connection_init"}"#).await?;
    let query = "subscription($id: ID!) { pipelineLog(id: $id) { at text cursor } }";
    let payload =
        format!(r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","variables":{{"id":"{id}"}}}}}}"#);
    // The acknowledgement is read before the first line is.
    let (header, length) = head_of(&mut stream).await?;
    let mut acknowledged = vec![0; length];
    stream.read_exact(&mut acknowledged).await?;
    ensure!(header == 0x81 && acknowledged.windows(14).any(|w| w == b"connection_ack"), "it is not acknowledged");
    send(&mut stream, &payload).await?;
    Ok(stream)
}

/// One text frame. It is masked with zeros, which is a mask too.
async fn send(stream: &mut TcpStream, text: &str) -> Result<()> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len())?.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    stream.write_all(&frame).await?;
    Ok(())
}

async fn head_of(stream: &mut TcpStream) -> Result<(u8, usize)> {
    let (header, length) = (stream.read_u8().await?, stream.read_u8().await?);
    Ok((header, if length == 126 { usize::from(stream.read_u16().await?) } else { usize::from(length) }))
}

async fn listen(call: Call, ready: Arc<Barrier>) -> Result<Heard> {
    let mut stream = subscribe(&call, Buffer::Usual).await?;
    ready.wait().await;
    let mut heard = Heard::default();
    let (mut buffer, mut filled) = (vec![0; 256 * 1024], 0);
    loop {
        let read = tokio::time::timeout(Duration::from_secs(120), stream.read(&mut buffer[filled..])).await??;
        if read == 0 {
            bail!("the server has hung up after {} lines", heard.lines);
        }
        filled += read;
        let now = Instant::now();
        let mut at = 0;
        while let Some((header, from, length)) = frame(&buffer[at..filled]) {
            let text = &buffer[at + from..at + from + length];
            at += from + length;
            match header & 0x0f {
                1 if text.windows(16).take(24).any(|w| w == b"\"type\":\"next\",\"p") => heard.line(text, now),
                1 if text
                    .windows(19)
                    .take(30)
                    .any(|w| w == b"\"type\":\"complete\"}".as_slice() || w.ends_with(b"\"complete\"")) =>
                {
                    return Ok(heard);
                }
                1 => bail!("unexpected: {}", String::from_utf8_lossy(text)),
                8 => bail!("closed: {}", String::from_utf8_lossy(text)),
                // A ping; what answers it is masked as all that a client sends.
                9 => stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await?,
                _ => {}
            }
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// The first byte of a whole frame, where its text begins, and how long that is.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (from, length) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= from + length).then(|| (bytes[0], from, length))
}

impl Heard {
    fn line(&mut self, text: &[u8], now: Instant) {
        // Other lines are the server's own.
        let label = b"\"text\":\"line ";
        let Some(begin) = text.windows(label.len()).position(|w| w == label) else { return };
        let digits = text[begin + label.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
        self.lines += 1;
        if number != self.lines {
            self.wrong += 1;
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
        if number % SAMPLE == 0 {
            self.late.push(late(text).unwrap_or(0));
        }
    }
}

/// Milliseconds since the `at` of a line, `…THH:MM:SS.fff…` of today.
fn late(text: &[u8]) -> Option<u32> {
    let begin = text.windows(6).position(|w| w == b"\"at\":\"")? + 6;
    let at = std::str::from_utf8(text.get(begin + 11..begin + 23)?).ok()?;
    let mut parts = at.split(':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of day, in milliseconds")]
    let at = (hours * 3600 + minutes * 60) * 1000 + (seconds * 1000.0) as u64;
    #[expect(clippy::disallowed_methods, reason = "it is the clock that is compared with")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis() % 86_400_000;
    u32::try_from(now.saturating_sub(u128::from(at))).ok()
}
