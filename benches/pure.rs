//! Parts that only compute, each beside the least that its work could be, by turns in one run: what counts is the ratio of the
//! medians. `cargo bench --bench pure`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use kiops::domain::secret::SecretString;
use kiops::graphql::limits::{Limits, admit};
use kiops::vault::Masker;

/// Rounds, and how long each side has in one.
const ROUNDS: usize = 15;
const TURN: Duration = Duration::from_millis(60);

fn main() {
    documents();
    masking();
}

/// What the guard takes for a hostile document, beside a small one; 200 times as much is too much.
fn documents() {
    let limits = Limits::default();
    let weigh = |document: &str| drop(black_box(admit(black_box(document), None, &limits)));
    let fragments = |levels: usize| {
        let doubled: String =
            (0..levels).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
        format!("{{ ...F0 }} {doubled} fragment F{levels} on Query {{ __typename }}")
    };
    let wide: String = (0..49).map(|n| format!("a{n}: services {{ nodes {{ id name status }} }} ")).collect();
    for (what, document) in [
        ("a document of 28 fragments that double", fragments(28)),
        ("one of 99 that double", fragments(98)),
        ("one nested 10,000 deep", format!("{}{}", "{a".repeat(10_000), "}".repeat(10_000))),
        ("one of 5,000 aliases", format!("{{ {} }}", (0..5_000).map(|n| format!("a{n}: a ")).collect::<String>())),
        ("128 KiB of directives", format!("{{ a {} }}", "@a".repeat(64 * 1024 - 10))),
        ("128 KiB of spaces", format!("{{ a {} }}", " ".repeat(128 * 1024 - 10))),
        ("the widest that is let in", format!("{{ {wide} }}")),
    ] {
        compare((what, || weigh(&document)), ("{ __typename }", || weigh("{ __typename }")));
    }
}

/// A log's text without twenty secrets, beside looking for them one after the other.
fn masking() {
    let secrets: Vec<_> = (0..20).map(|n| format!("secret-number-{n}-0123456789")).collect();
    let line = "Compiling something or other v1.2.3 (/work/source), with secret-number-7-0123456789 in it\n";
    let text = line.repeat(64 * 1024 / line.len());
    let hidden: Vec<_> = secrets.iter().cloned().map(SecretString::from).collect();
    let masker = Masker::new(&hidden);
    compare(
        ("64 KiB of a log, masked", || drop(black_box(masker.mask(black_box(&text))))),
        ("twenty replacements", || {
            drop(black_box(secrets.iter().fold(text.clone(), |text, secret| text.replace(secret, "***"))))
        }),
    );
}

/// Both by turns, and how many times as long the one takes as the other.
fn compare((what, one): (&str, impl Fn()), (beside, other): (&str, impl Fn())) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ones.push(turn(&one));
        others.push(turn(&other));
    }
    let (one, other) = (median(ones), median(others));
    println!("{what}: {one:.1} µs, {:.2} × {beside} ({other:.1} µs)", one / other);
}

/// Microseconds that it takes once.
fn turn(work: &impl Fn()) -> f64 {
    let (begun, mut times) = (Instant::now(), 0_u32);
    while begun.elapsed() < TURN {
        work();
        times += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
