//! Builds that do not come to an end by themselves.

use super::*;

/// An odd number of seconds to sleep, by which a process is known again.
fn nap(seed: u32) -> String {
    format!("36{:05}.{seed}", std::process::id() % 100_000)
}

#[tokio::test]
async fn a_build_that_is_given_up_is_gone_when_clear_returns() {
    let Some(place) = Place::new("a_build_that_is_given_up_is_gone_when_clear_returns") else { return };
    let nap = nap(1);
    let request = place.request(&format!("RUN busybox sleep {nap}"));
    let lines = Lines::default();
    {
        let mut building = place.builder.build(&request, &lines);
        tokio::select! {
            done = &mut building => panic!("{done:?}\n{}", lines.text()),
            () = within(60, "the step is at work", || is_at_work(&nap)) => {}
        }
        // Here the build's future is dropped.
    }
    let since = Instant::now();
    place.builder.clear(&place.mark.run_id).await.unwrap();
    let took = since.elapsed();
    assert!(!is_at_work(&nap), "the step is still at work after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    println!("clear took {took:?}");
    assert_eq!(place.left(), "");
    // The engine builds on.
    place.built(&place.request(&format!("RUN echo {nap}"))).await;
}

#[tokio::test]
async fn without_clear_a_dropped_build_ends_too() {
    let Some(place) = Place::new("without_clear_a_dropped_build_ends_too") else { return };
    let nap = nap(2);
    let request = place.request(&format!("RUN busybox sleep {nap}"));
    let lines = Lines::default();
    tokio::select! {
        done = place.builder.build(&request, &lines) => panic!("{done:?}\n{}", lines.text()),
        () = within(60, "the step is at work", || is_at_work(&nap)) => {}
    }
    within(5, "the step is gone", || !is_at_work(&nap)).await;
}

#[test]
fn a_build_of_a_process_that_died_is_gone_when_clear_returns() {
    let Some(place) = Place::new("a_build_of_a_process_that_died_is_gone_when_clear_returns") else { return };
    let nap = nap(3);
    let request = place.request(&format!("RUN busybox sleep {nap}"));
    // A runtime that is thrown away takes all connections with it and runs nothing more, as a killed process does.
    let first = tokio::runtime::Runtime::new().unwrap();
    let builder = Arc::clone(&place.builder);
    first.spawn(async move { builder.build(&request, &Lines::default()).await.map(|_| ()) });
    first.block_on(within(60, "the step is at work", || is_at_work(&nap)));
    first.shutdown_background();
    let second = tokio::runtime::Runtime::new().unwrap();
    second.block_on(async {
        let connection = EngineConnection { host: place.host.clone(), tls: None };
        let other = DockerBuilders::new().connect(&connection).unwrap();
        let since = Instant::now();
        other.clear(&place.mark.run_id).await.unwrap();
        println!("clear took {:?}", since.elapsed());
        assert!(!is_at_work(&nap), "the step is still at work after {:?}", since.elapsed());
        assert!(since.elapsed() < Duration::from_secs(6));
    });
}

#[tokio::test]
async fn a_build_ends_when_its_time_is_over() {
    let Some(place) = Place::new("a_build_ends_when_its_time_is_over") else { return };
    let nap = nap(4);
    let mut request = place.request(&format!("RUN echo begun; busybox sleep {nap}"));
    request.limits = limits(4);
    let since = Instant::now();
    let (error, lines) = place.failed(&request).await;
    assert_eq!(error, BuilderError::TimedOut("the build took longer than 4s".into()));
    assert!(lines.has(Output::Stdout, "begun"), "{}", lines.text());
    assert!(!is_at_work(&nap));
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_step_that_forks_without_end_ends_with_its_time() {
    let Some(place) = Place::new("a_step_that_forks_without_end_ends_with_its_time") else { return };
    let nap = nap(5);
    // The machine is spared by a limit of the step's own, which does not hold for root.
    let mut request = place.request(&format!(
        "RUN busybox mkdir -p /etc && echo some:x:54321:54321::/:/bin/sh > /etc/passwd && echo some:x:54321: > /etc/group\nUSER some\nRUN n=0; while busybox test $n -lt 50; do busybox sleep {nap} & n=$((n+1)); done; \
         ulimit -u 300; bomb() {{ bomb | bomb & }}; bomb & exec busybox sleep {nap}"
    ));
    request.limits = limits(6);
    let since = Instant::now();
    let (error, lines) = place.failed(&request).await;
    assert!(matches!(error, BuilderError::TimedOut(_)), "{error:?}\n{}", lines.text());
    assert!(!is_at_work(&nap), "some are left");
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[tokio::test]
async fn runs_are_ended_one_by_one() {
    let test = "runs_are_ended_one_by_one";
    let (Some(one), Some(other)) = (Place::new(test), Place::new(test)) else { return };
    let (naps, lines) = ([nap(6), nap(7)], [Lines::default(), Lines::default()]);
    let requests = [&one, &other].map(|place| {
        let nap = if place.mark == one.mark { &naps[0] } else { &naps[1] };
        place.request(&format!("RUN busybox sleep {nap}"))
    });
    let staying = other.builder.build(&requests[1], &lines[1]);
    tokio::pin!(staying);
    let ending = async {
        tokio::select! {
            done = one.builder.build(&requests[0], &lines[0]) => panic!("{done:?}\n{}", lines[0].text()),
            () = within(60, "both are at work", || naps.iter().all(|nap| is_at_work(nap))) => {}
        }
        let since = Instant::now();
        one.builder.clear(&one.mark.run_id).await.unwrap();
        assert!(!is_at_work(&naps[0]) && is_at_work(&naps[1]));
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    };
    tokio::select! {
        done = &mut staying => panic!("{done:?}\n{}", lines[1].text()),
        () = ending => {}
    }
    let clearing = async { other.builder.clear(&other.mark.run_id).await.unwrap() };
    let (ended, ()) = tokio::join!(&mut staying, clearing);
    assert!(ended.is_err());
}
