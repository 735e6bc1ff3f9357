//! The server's loop: accepts connections up to a cap, closes those that send no whole header in time, and ends
//! within the grace period.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::HttpSettings;

/// How long to wait after a connection could not be accepted, usually because no file descriptor is free.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A connection's place under the cap, among the extensions of its requests. It is free when nobody has it any more: a
/// WebSocket keeps it, because HTTP is done with the connection when it is upgraded.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// A connection that fails when nothing can be written for so long, because the other side does not read. Its kernel
/// says that it is there, however long it does not read.
fn written_in_time(stream: TcpStream, limit: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limit));
    Box::pin(stream)
}

/// Serves until `settings.shutdown` is cancelled, then lets requests and WebSockets end, for `settings.grace` at
/// most. Only HTTP/1.1 is spoken, whose header has a time limit from the first byte on; a proxy in front may
/// speak anything to browsers.
pub async fn serve(listener: TcpListener, router: Router, settings: HttpSettings) {
    let seats = Arc::new(Semaphore::new(settings.connections));
    let mut connections = JoinSet::new();
    loop {
        let seat = tokio::select! {
            () = settings.shutdown.cancelled() => break,
            Ok(seat) = seats.clone().acquire_owned() => seat,
        };
        let accepted = tokio::select! {
            () = settings.shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        // Without it small answers wait for the other side's acknowledgement; a failure only costs speed.
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let place: Place = Arc::new(seat);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(address));
            request.extensions_mut().insert(place.clone());
            let router = router.clone();
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.read_timeout)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(written_in_time(stream, settings.write_timeout)), service)
            .with_upgrades();
        let shutdown = settings.shutdown.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            // A connection that breaks off is the client's business.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    settings.tasks.close();
    let ended = timeout(settings.grace, async {
        while connections.join_next().await.is_some() {}
        settings.tasks.wait().await;
    })
    .await;
    if ended.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
    connections.shutdown().await;
}
