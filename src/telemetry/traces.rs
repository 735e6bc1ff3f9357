//! Sending spans to a collector, as OTLP over HTTP.
//!
//! Spans wait in a queue of fixed length and are sent in batches by a thread of the library's. A collector that is away or slow
//! costs dropped spans and a line of the log; nothing ever waits for it but the end of the server, for a moment.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter, SpanLimits,
};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::net::{Outbound, Request, Trust};

/// Spans that wait to be sent, at most: what is over it is dropped.
const QUEUE: usize = 2_048;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// How often what waits is sent.
const EVERY: Duration = Duration::from_secs(2);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a collector's answer.
const ANSWER: usize = 64 * 1024;

/// Where spans go, and who says that they are of this server.
pub struct Destination {
    /// Where they are posted.
    pub url: Url,
    /// The client that posts them.
    pub outbound: Outbound,
    /// What tells this process from others of the same kind.
    pub instance: String,
}

/// What makes spans and sends them.
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to send, on the runtime that it is called in.
    pub(super) fn start(destination: Destination) -> Self {
        let exporter = Exporter {
            url: destination.url,
            outbound: destination.outbound,
            runtime: Handle::current(),
            resource: ResourceAttributesWithSchema::default(),
            dropped: Mutex::new(None),
        };
        // All that the library would read from the environment is said here: a configuration has one place.
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(EVERY)
            .build();
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "kiops"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", destination.instance),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(SpanLimits::default())
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .build();
        Self { provider }
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("kiops")
    }

    /// Sends what still waits, for so long at most. What comes after it is dropped.
    pub async fn finish(self, within: Duration) {
        // It waits for the library's thread. What could not be sent was said where it was tried.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(within));
        let _ = tokio::time::timeout(within + Duration::from_millis(100), ended).await;
    }
}

/// Posts batches, and says once when that begins to fail and once when it works again.
struct Exporter {
    url: Url,
    outbound: Outbound,
    /// The client's work needs a runtime, which the library's thread is none of.
    runtime: Handle,
    resource: ResourceAttributesWithSchema,
    /// Spans that were dropped since the collector last took some; none while all is well.
    dropped: Mutex<Option<usize>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let spans =
            ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &self.resource) };
        let sending = send(self.outbound.clone(), self.url.clone(), spans.encode_to_vec());
        let sent = AbortOnDropHandle::new(self.runtime.spawn(sending)).await;
        // A runtime that ends takes its tasks along.
        self.note(count, sent.unwrap_or_else(|_| Err("the server is ending".to_owned())));
        // A failure was said, and there is nothing that the library could do about it but say it again.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl Exporter {
    fn note(&self, count: usize, sent: Result<(), String>) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        match sent {
            Ok(()) => {
                if let Some(count) = dropped.take() {
                    tracing::info!(dropped = count, "the collector of telemetry.otlp_endpoint takes traces again");
                }
            }
            Err(why) => {
                if dropped.is_none() {
                    tracing::warn!(%why, "traces are dropped until the collector of telemetry.otlp_endpoint takes them");
                }
                *dropped = Some(dropped.unwrap_or(0) + count);
            }
        }
    }
}

async fn send(outbound: Outbound, url: Url, body: Vec<u8>) -> Result<(), String> {
    let request = Request::new(reqwest::Method::POST, url, Trust::Operator)
        .counted_as("traces")
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
        .body(body.into())
        .timeout(PATIENCE)
        .max_body(ANSWER);
    let answer = outbound.send(request).await.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("it answers {}", answer.status));
    }
    let refused = ExportTraceServiceResponse::decode(answer.body).ok().and_then(|answer| answer.partial_success);
    match refused.filter(|refused| refused.rejected_spans > 0) {
        Some(refused) => Err(format!("it refuses {} of them", refused.rejected_spans)),
        None => Ok(()),
    }
}
